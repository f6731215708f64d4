# %% [markdown]
# # Bring your metric
#
# A metric here is a *state*: totals that start empty, are made from a batch, and merge. Nothing is
# divided before `compute`. So it does not matter how the data were cut.
#
# ## What goes wrong otherwise
#
# The mean of the means of batches is not the mean. Take an accuracy in batches of 128 of a set that
# leaves a short last batch, whose examples then count for more:

# %%

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdl import data, losses, metrics, models, objectives, plots, train

right = np.r_[np.ones(256), np.zeros(8)]  # the last eight are wrong
batches = [right[k : k + 128] for k in range(0, len(right), 128)]
print("mean of means", np.mean([batch.mean() for batch in batches]))
state = metrics.Mean.empty()
for batch in batches:
    state = state.merge(metrics.Mean.from_values(batch))
print("mean         ", state.compute(), "wanted", right.mean())

# %% [markdown]
# ## A metric of your own
#
# Say you want the *expected calibration error*: bin the predictions by confidence, and compare how sure
# the network was with how often it was right,
#
# $$\text{ECE} = \sum_b \frac{n_b}{N} \left| \text{accuracy}_b - \text{confidence}_b \right|$$
#
# The library has it, `metrics.CalibrationError`; here is how one is made. The totals to keep are three numbers a bin. They are a pytree, so the state runs through `jit`,
# `scan` and `vmap` like any array.


# %%
@struct.dataclass
class Calibration:
    """Expected calibration error over equal bins of confidence."""

    count: jax.Array  # [bins] examples
    sure: jax.Array  # [bins] sum of confidence
    right: jax.Array  # [bins] number of right answers

    @classmethod
    def empty(cls, bins=10):
        return cls(jnp.zeros(bins), jnp.zeros(bins), jnp.zeros(bins))

    @classmethod
    def from_batch(cls, logits, labels, mask, bins=10):
        probabilities = jax.nn.softmax(logits)
        confidence, answer = probabilities.max(-1), probabilities.argmax(-1)
        place = jnp.clip((confidence * bins).astype(int), 0, bins - 1)
        sums = cls.empty(bins)
        return cls(
            sums.count.at[place].add(mask),
            sums.sure.at[place].add(confidence * mask),
            sums.right.at[place].add((answer == labels) * mask),
        )

    def merge(self, other):
        return jax.tree.map(jnp.add, self, other)

    def compute(self):
        gap = jnp.abs(
            self.right - self.sure
        )  # of sums; the number of the bin cancels
        return jnp.sum(gap) / jnp.maximum(jnp.sum(self.count), 1)


print("follows the protocol:", isinstance(Calibration.empty(), metrics.Metric))

# %% [markdown]
# It goes where the metrics of the library go:

# %%
import optax

splits = data.load("digits")
objective = objectives.supervised(
    models.MLP((64, 10)),
    losses.softmax_cross_entropy,
    metrics={
        "accuracy": metrics.Accuracy.from_batch,
        "ece": Calibration.from_batch,
        "the library's": functools.partial(
            metrics.CalibrationError.from_batch, bins=10
        ),
    },
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.adam(3e-3))
result = train.fit(
    trainer,
    splits["train"],
    epochs=20,
    batch_size=32,
    held_out={"test": splits["test"]},
)
for batch_size in (7, 100, 360):
    found = train.evaluate(trainer, result.state, splits["test"], batch_size)
    ours, theirs = (
        float(found[name].compute()) for name in ("ece", "the library's")
    )
    print(f"batch size {batch_size:3}: {ours:.6f}, the library's {theirs:.6f}")

# %% alt="Loss, accuracy and calibration error over the epochs"
plots.curves(result.history)

# %% [markdown]
# A mask of False must take an example out of every total; the three lines that multiply by `mask` do
# that here. What is already there, and what others compute under the same name, is in the reference:
# [`metrics`](../reference/metrics.md), and in [who does what](../conventions.md).
