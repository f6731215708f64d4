# %% [markdown]
# # Your own model
#
# A network is two pure functions, one that makes parameters and one that uses them, and jaxdl asks
# for nothing else. Modules of Flax Linen, Flax NNX and Equinox are turned into that pair for you. Here
# is one small network in all three libraries, and as plain functions; all begin with the same weights.

# %%
import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jaxdl import data, losses, metrics, objectives, plots, train

splits = data.load("digits")

# %% [markdown]
# Flax Linen describes a network; its parameters are a dict that `init` gives you:


# %%
class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):  # [B, H, W, C] to logits [B, K]
        x = jnp.reshape(x, (len(x), -1))
        return linen.Dense(10, name="out")(
            jnp.tanh(linen.Dense(32, name="hidden")(x))
        )


weights = LinenNet().init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
print(jax.tree.map(jnp.shape, weights))


# %% [markdown]
# Flax NNX keeps its parameters inside the module:


# %%
class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.hidden, self.out = (
            nnx.Linear(64, 32, rngs=rngs),
            nnx.Linear(32, 10, rngs=rngs),
        )

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(jnp.reshape(x, (len(x), -1)))))


nnx_net = NnxNet(nnx.Rngs(0))
for name in (
    "hidden",
    "out",
):  # the weights of the first one, so that we can compare
    getattr(nnx_net, name).kernel[...] = weights[name]["kernel"]


# %% [markdown]
# Equinox maps one example, without a batch axis, and its kernels are `[out, in]`:


# %%
class EquinoxNet(eqx.Module):
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        self.hidden, self.out = (
            eqx.nn.Linear(64, 32, key=key),
            eqx.nn.Linear(32, 10, key=key),
        )

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(jnp.ravel(x))))


equinox_net = eqx.tree_at(
    lambda net: [net.hidden.weight, net.hidden.bias, net.out.weight, net.out.bias],
    EquinoxNet(jax.random.key(0)),
    [
        leaf
        for n in ("hidden", "out")
        for leaf in (weights[n]["kernel"].T, weights[n]["bias"])
    ],
)


# %% [markdown]
# And with no library at all, a pair `init(key, inputs)` and `apply(params, state, inputs, key,
# train)`:


# %%
def init(key, inputs):
    return jax.tree.map(jnp.copy, weights), {}


def apply(params, state, inputs, key, train):
    (x,) = inputs
    x = jnp.reshape(x, (len(x), -1))
    hidden = jnp.tanh(
        x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]
    )
    return hidden @ params["out"]["kernel"] + params["out"]["bias"][None], state


# %% [markdown]
# ## One engine
#
# What follows is the same for all of them.


# %%
def trained(module, params=None):
    objective = objectives.supervised(
        module,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    trainer = train.make(objective, optax.adam(1e-2))
    batch = data.host_batch(splits["train"], 0, batch_size=64)
    state = trainer.init(jax.random.key(0), batch, params=params)
    held_out = {"test": splits["test"]}
    return train.fit(
        trainer, splits["train"], state, epochs=5, batch_size=64, held_out=held_out
    )


modules = {
    "Linen": LinenNet(),
    "NNX": nnx_net,
    "Equinox": equinox_net,
    "functions": objectives.Network(init, apply),
}
results = {
    name: trained(module) for name, module in modules.items() if name != "Linen"
}
results["Linen"] = trained(LinenNet(), params=jax.tree.map(jnp.copy, weights))
for name, result in results.items():
    print(f"{name:10}", [f"{row['train/loss']:.6f}" for row in result.history])

# %% alt="Loss and accuracy of the four networks: their lines lie on top of each other"
plots.compare({name: [result.history] for name, result in results.items()})

# %% [markdown]
# Parameters, optimizer state, checkpoints, sweeps and layouts over devices see nested dicts of arrays
# in every case. Batch statistics go through the `model_state` of the step, dropout gets the key of the
# step, and a module that takes a `mask` is given the batch's. The table of who is called how stands at
# [`objectives.as_network`](../reference/objectives.md#jaxdl.objectives.as_network).
#
# jaxdl's own networks, layers and published sizes are in [`models`](../reference/models.md) and
# [`nn`](../reference/nn.md).
