# %% [markdown]
# # A session with jaxdl
# Open this file as a notebook (VS Code, Spyder and Jupytext read its cells), or run it whole:
# `python -m experiments.notebook` downloads nothing.

# %% Data are columns of arrays; images stay uint8 until they are inside the compiled program.
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, losses, metrics, models, objectives, ops, plots, train

splits = data.load("digits")
print({name: splits["train"][name].shape for name in splits["train"].columns}, splits.info.name)
plots.tiles(splits["train"]["image"][:36, :, :, 0])  # a Matplotlib figure: shown as it is

# %% Blocks are functions of arrays, so jit, grad and vmap compose with them.
image = data.images.to_unit({"image": jnp.asarray(splits["train"]["image"][:1])})["image"][0]
edges = jax.jit(ops.sobel)(image)
print("steepest slope", float(ops.gradient_magnitude(edges).max()))
slope = jax.grad(lambda z: losses.softmax_cross_entropy(z, jnp.array(1)))(jnp.zeros(3))
print("softmax minus one-hot", slope)

# %% A model, what is minimized, by what.
model = models.MLP((64, 10))
objective = objectives.supervised(
    model,
    losses.softmax_cross_entropy,
    metrics={
        "accuracy": metrics.Accuracy.from_batch,
        "confusion": metrics.ConfusionMatrix.from_batch,
    },
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.adam(3e-3))

# %% Train, and look.
result = train.fit(
    trainer, splits["train"], epochs=15, batch_size=32, held_out={"test": splits["test"]}
)
plots.curves(result.history)

# %% Every number is exact over the whole test set, whatever the batch size.
final = train.evaluate(trainer, result.state, splits["test"], 100)
accuracy = float(final["accuracy"].compute())
majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
print(f"test accuracy {accuracy:.3f}, of the most frequent digit alone {majority:.3f}")
plots.confusion(final["confusion"].compute(), splits.info.class_names)


# %% Eight seeds and three rates as one compiled program.
def member(hyper: train.Hyper) -> train.Trainer:
    return train.make(objective, optax.adam(hyper["learning_rate"]))


grid = train.grid(learning_rate=[1e-3, 3e-3, 1e-2], seed=range(8))
swept = train.sweep(
    member,
    grid,
    splits["train"],
    epochs=15,
    batch_size=32,
    held_out={"test": splits["test"]},
)
by_rate = swept.final("test/accuracy").reshape(3, 8)  # the grid's order: rates, then seeds
for rate, found in zip([1e-3, 3e-3, 1e-2], by_rate, strict=True):
    print(
        f"rate {rate:g}: test accuracy {np.mean(found):.3f} ({found.min():.3f}-{found.max():.3f})"
    )
