# %% [markdown]
# # Quickstart
#
# You write Python on arrays, and JAX compiles it for the machine. Three of its words are enough to
# read this page: `jax.grad(f)` is the function that computes the gradient of `f`, `jax.jit(f)` the
# compiled `f`, and `jax.vmap(f)` is `f` for a whole batch at once. They work because `f` is *pure*:
# what it returns depends on its arguments alone. All of jaxdl is written that way. Every cell below
# can be pasted into a notebook or a Python session, in order.
#
# ## Data are columns of arrays

# %% alt="Thirty-six handwritten digits of eight by eight pixels"
from jaxdl import data, plots

splits = data.load("digits")
for name, split in splits.items():
    print(name, {column: split[column].shape for column in split.columns})
plots.tiles(splits["train"]["image"][:36, :, :, 0])

# %% [markdown]
# A batch is a `dict` of such columns with one more, `mask`, which is False on rows that are there
# only to fill the last batch up:

# %%
batches = list(data.batches(splits["test"], 128, seed=0))
print(
    len(batches),
    "batches; the last one holds",
    int(batches[-1]["mask"].sum()),
    "digits",
)

# %% [markdown]
# ## Blocks are functions
#
# A loss gives one number for each example. Averaging, under whatever mask, is done once by whoever
# needs an average. So gradients, batches and compilation are those of JAX, with nothing to learn:

# %%
import jax
import jax.numpy as jnp

from jaxdl import losses

logits = jnp.array([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
labels = jnp.array([0, 2])
print("loss of each example", losses.softmax_cross_entropy(logits, labels))
one = jax.grad(losses.softmax_cross_entropy)
print(
    "its gradient, softmax minus one-hot:\n", jax.jit(jax.vmap(one))(logits, labels)
)

# %% [markdown]
# ## Train
#
# An *objective* says what is minimized: a model, a loss, and metrics to keep. `train.make` turns it,
# with an optimizer of [optax](https://optax.readthedocs.io), into a *trainer*: three pure functions
# `init`, `step` and `evaluate`. `train.fit` is a loop over `step`.

# %%
import optax

from jaxdl import metrics, models, objectives, train

objective = objectives.supervised(
    models.LeNet(num_classes=10),
    losses.softmax_cross_entropy,
    metrics={
        "accuracy": metrics.Accuracy.from_batch,
        "confusion": metrics.ConfusionMatrix.from_batch,
    },
    preprocess=data.images.to_unit,  # uint8 to [0, 1], inside the compiled step
)
trainer = train.make(objective, optax.adam(3e-3))
result = train.fit(
    trainer,
    splits["train"],
    epochs=10,
    batch_size=64,
    held_out={"test": splits["test"]},
)

# %% alt="Loss falling and accuracy rising over the epochs, on training and on test digits"
plots.curves(result.history)

# %% [markdown]
# ## Look at what it gets wrong
#
# Metrics are states that add up, so these are the numbers of the whole test set, to the last digit,
# whatever the batch size was.

# %% alt="Confusion matrix: nearly all digits lie on the diagonal"
small = train.evaluate(trainer, result.state, splits["test"], 7)
large = train.evaluate(trainer, result.state, splits["test"], 180)
print("accuracy by sevens ", small["accuracy"].compute())
print("accuracy all at once", large["accuracy"].compute())
plots.confusion(large["confusion"].compute(), splits.info.class_names)

# %% [markdown]
# ## As a command
#
# Everything above is one experiment file with options, figures and checkpoints. Give the same command
# again after a power cut, and it goes on where it stood:
#
# ```console
# $ python -m experiments                 # what there is, by subject
# $ python -m experiments.lenet --help    # the options of one
# $ python -m experiments.lenet           # trains; figures and numbers land in runs/
# $ python -m jaxdl.new lenet mine        # a copy of your own to change
# ```
#
# Next: [your own model](guides/your_model.md), [your own data](guides/your_data.md),
# [your own objective](guides/your_objective.md).
