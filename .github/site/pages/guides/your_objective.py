# %% [markdown]
# # Your own objective
#
# What is minimized is one function:
#
# ```text
# objective(params, model_state, batch, key, *, train) -> (Mean, Aux)
# ```
#
# `Mean` is a total and a weight, so that the loss is total over weight over everything that was real,
# however it was split. `Aux` holds metric states and the state that the network leaves behind. Any
# function of this form trains, sweeps, accumulates and shards.
#
# ## The shortest one
#
# The mean of some numbers, by descent. No network, no library of modules, one parameter:

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, losses, metrics, models, objectives, plots, train


def squares(mean, model_state, batch, key, *, train):
    loss = metrics.Mean.from_values((mean - batch["x"]) ** 2, batch["mask"])
    return loss, objectives.Aux({}, model_state)


numbers = data.Dataset({"x": np.arange(10, dtype=np.float32)})
trainer = train.make(squares, optax.sgd(0.25))
state = trainer.init(jax.random.key(0), params=jnp.array(0.0))
result = train.fit(trainer, numbers, state, epochs=20, batch_size=10)
print("found", result.state.params, "wanted", numbers["x"].mean())

# %% [markdown]
# ## A few lines around a module
#
# `objectives.build` threads the state and the keys through a module and leaves you the lines in which
# your objective differs. Here a denoising autoencoder: noise goes in, the clean image is the target.


# %%
def denoise(forward, batch, *, key, train):
    clean = jnp.reshape(batch["image"], (len(batch["image"]), -1))
    noisy = clean + 0.3 * jax.random.normal(key, clean.shape)
    restored = forward(noisy)
    error = losses.mean_squared_error(restored, clean)  # one number per image
    return metrics.Mean.from_values(error, batch["mask"]), {
        "rmse": metrics.RootMeanSquaredError.from_batch(
            restored, clean, batch["mask"]
        ),
    }


splits = data.load("digits")
model = models.MLP((32, 64))
objective = objectives.build(
    model,
    denoise,
    inputs=lambda batch: (jnp.reshape(batch["image"], (len(batch["image"]), -1)),),
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.adam(3e-3))
result = train.fit(
    trainer,
    splits["train"],
    epochs=30,
    batch_size=64,
    held_out={"test": splits["test"]},
)

# %% alt="Ten noisy digits, and the same digits as the network restores them"
clean = splits["test"]["image"][:10].reshape(10, 64) / 255
noisy = clean + 0.3 * np.random.default_rng(0).normal(size=clean.shape)
restored = model.apply(
    {"params": result.state.params}, jnp.asarray(noisy), train=False
)
rows = {"clean": clean, "with noise": noisy, "restored": np.clip(restored, 0, 1)}
strips = {
    name: np.hstack(np.reshape(row, (10, 8, 8))) for name, row in rows.items()
}
plots.gallery(strips, columns=1)

# %% [markdown]
# ## Why a total and a weight
#
# Split a batch as you like: the loss is that of the whole, because totals are added before anything
# is divided. Here a last batch, mostly padding, in one piece and in four:

# %%
reconstruct = objectives.build(
    model,
    lambda forward, batch, *, key, train: (
        metrics.Mean.from_values(
            losses.mean_squared_error(forward(batch["x"]), batch["x"]),
            batch["mask"],
        ),
        {},
    ),
    inputs=lambda batch: (batch["x"],),
)
flat = data.Dataset(
    {"x": splits["test"]["image"].reshape(-1, 64).astype(np.float32) / 255}
)
batch = data.host_batch(flat, 2, batch_size=128)
print("rows that are real:", int(batch["mask"].sum()), "of", len(batch["mask"]))
for pieces in (1, 4):
    trainer = train.make(reconstruct, optax.sgd(0.1), accumulate=pieces)
    state, found = jax.jit(trainer.step)(
        trainer.init(jax.random.key(0), batch), batch
    )
    print(pieces, "pieces: loss", found["loss"].compute())

# %% [markdown]
# The objectives that come with the library are written the same way:
# [`objectives`](../reference/objectives.md) has language models, translation, detection, regions
# and style; each is a page to read and change.
