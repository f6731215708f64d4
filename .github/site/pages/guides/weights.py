# %% [markdown]
# # Weights in and out
#
# Networks with a counterpart in torchvision read and write its names and layouts: safetensors, and
# `.pth` files, which are read without executing any code in them.

# %%
import jax
import jax.numpy as jnp
import optax

from jaxdl import data, losses, metrics, models, nn, objectives, optim, plots, train

splits = data.load("digits")
small = {
    "depths": (1, 1),
    "widths": (8, 16),
    "dense_size": 32,
    "norm": nn.BatchNorm,
}
model = models.VGG(num_classes=10, **small)
images = jnp.zeros((1, 8, 8, 1))
variables = jax.jit(model.init, static_argnames="train")(
    jax.random.key(0), images, train=False
)
for name, array in models.weights.to_torch(model, variables).items():
    print(f"{name:34} {array.shape}")

# %% [markdown]
# Batch statistics are `running_mean` and `running_var`, kernels are `[O, C, h, w]`, dense weights
# `[O, I]`, and the first dense layer reads its map channels first: `to_torch` turns all of that round.
#
# ## Save, load, and a report
#
# `load` says of every name what became of it. A head of another size stays as it was initialized:

# %%
models.weights.save("small.safetensors", model, variables)
again, report = models.weights.load("small.safetensors", model, variables)
print("complete:", report.complete, "-", report)

other = models.VGG(num_classes=5, **small)
fresh = jax.jit(other.init, static_argnames="train")(
    jax.random.key(1), images, train=False
)
fresh, report = models.weights.load("small.safetensors", other, fresh)
print("complete:", report.complete, "-", report)

# %% [markdown]
# The published files of torchvision go in the same way:
#
# ```text
# model = models.ResNet18(num_classes=1000)
# variables, report = models.weights.load("resnet18-f37072fd.pth", model, shapes)
# ```
#
# ## Fine-tune
#
# Trained on the digits 0 to 4, then on 5 to 9: from scratch, and with the body of the first network.
# `train.load_pretrained` copies what fits; `fresh` names what shall stay new.

# %%
columns = {name: splits["train"][name] for name in ("image", "label")}
low = data.Dataset(columns).take(columns["label"] < 5)
high = data.Dataset({**columns, "label": columns["label"] - 5}).take(
    columns["label"] >= 5
)
few = high.take(slice(0, 40))
tested = data.Dataset(
    {"image": splits["test"]["image"], "label": splits["test"]["label"] - 5}
).take(splits["test"]["label"] >= 5)

objective = objectives.supervised(
    models.MLP((64, 32, 5)),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.Accuracy.from_batch},
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.adam(2e-3))
first = train.fit(trainer, low, epochs=12, batch_size=32)


def trained(tx, body):
    trainer = train.make(objective, tx)
    state = trainer.init(jax.random.key(1), data.host_batch(few, 0, batch_size=20))
    if body:
        params, report = train.load_pretrained(
            state.params, first.state.params, fresh=["head/*"]
        )
        print(report)
        state = trainer.init(jax.random.key(1), params=params)
    result = train.fit(
        trainer, few, state, epochs=20, batch_size=20, held_out={"test": tested}
    )
    return [result.history]


# %% alt="Test accuracy on new digits: the network that begins with a trained body is ahead"
slow_body = optax.chain(optax.adam(2e-3), optim.scale_by_path({"dense*": 0.1}))
plots.compare(
    {
        "from scratch": trained(optax.adam(2e-3), body=False),
        "trained body": trained(optax.adam(2e-3), body=True),
        "trained body, a tenth of the rate": trained(slow_body, body=True),
    }
)

# %% [markdown]
# `optim.freeze_paths` keeps parameters as they are, and `optim.scale_by_path` gives them rates of
# their own; both take patterns of paths and refuse a pattern that fits nothing.
