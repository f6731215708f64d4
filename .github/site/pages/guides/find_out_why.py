# %% [markdown]
# # Find out why
#
# A network that does not learn rarely says why. [`inspect`](../reference/inspect.md) looks inside:
# gradients against differences, the operation that broke, how large gradients are layer by layer.
#
# ## Is the gradient right?
#
# `check_gradients` compares `jax.grad` with central differences in double precision, at random
# coordinates of every array. A loss with a mistake in a rule of its own is found at once:

# %%
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, inspect, losses, metrics, models, objectives, plots, train


@jax.custom_vjp
def square(x):
    return x**2


square.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))  # forgot the 2

params = {"w": jnp.arange(1.0, 5.0)}
for name, function in {"right": jnp.square, "wrong": square}.items():
    print(
        name,
        inspect.check_gradients(lambda p, f=function: jnp.sum(f(p["w"])), params),
    )

# %% [markdown]
# ## Where does the NaN come from?
#
# `explain_nonfinite` replays a step operation by operation and names the one that broke it, with the
# line, the row of the batch, and what went in. Here somebody took a logarithm of a probability:


# %%
def naive(forward, batch, *, key, train):
    probabilities = jax.nn.softmax(forward(batch["x"]))
    rows = jnp.arange(len(batch["label"]))
    loss = -jnp.log(probabilities[rows, batch["label"]])
    return metrics.Mean.from_values(loss, batch["mask"]), {}


broken = objectives.build(
    models.MLP((3,)), naive, inputs=lambda batch: (batch["x"],)
)
batch = {"x": jnp.eye(4) * jnp.array([1.0, 2.0, 900.0, 3.0])[:, None]}
batch |= {"label": jnp.array([0, 1, 1, 2]), "mask": jnp.ones(4, bool)}
state = train.make(broken, optax.sgd(0.1)).init(jax.random.key(3), batch)
print(inspect.explain_nonfinite(broken, state, batch))

# %% [markdown]
# ## Where do the operations go?
#
# `ledger` traces a step on shapes and adds up parameters, operations and kept activations by module:

# %%
print(inspect.ledger(models.LeNet(num_classes=10), jnp.zeros((64, 28, 28, 1))))

# %% [markdown]
# ## Where does it vanish?
#
# `deltas` gives the gradient at the output of every layer. In a deep network of sigmoids it shrinks
# from layer to layer on its way back; with rectifiers and a start that suits them it does not.

# %% alt="Size of the gradient at each of ten layers: it falls by orders of magnitude with sigmoid"
splits = data.load("digits")
images = jnp.asarray(splits["train"]["image"][:64] / 255.0, jnp.float32)
labels = jnp.asarray(splits["train"]["label"][:64])
sizes = {}
for name, activation in {
    "sigmoid": linen.sigmoid,
    "tanh": jnp.tanh,
    "relu": linen.relu,
}.items():
    model = models.MLP((32,) * 9 + (10,), activation=activation)
    variables = model.init(jax.random.key(0), images, train=False)
    outputs, found = inspect.deltas(
        model,
        variables,
        lambda logits: losses.softmax_cross_entropy(logits, labels).mean(),
        images,
        train=False,
    )
    sizes[name] = list(inspect.gradient_flow(found).values())
plots.gradient_flow({"ten layers, before training": sizes})

# %% [markdown]
# ## Is the rate too high?
#
# `grad_norm=True` keeps the norm of the gradient before clipping; a rate that is too high shows in it
# before it shows in the accuracy. `clip_norm` bounds it.

# %% alt="Loss and gradient norm at three learning rates"
objective = objectives.supervised(
    models.MLP((64, 10)),
    losses.softmax_cross_entropy,
    preprocess=data.images.to_unit,
)
histories = {}
for rate in (0.01, 0.3, 3.0):
    trainer = train.make(objective, optax.sgd(rate), grad_norm=True)
    result = train.fit(trainer, splits["train"], epochs=8, batch_size=32)
    histories[f"rate {rate:g}"] = [result.history]
plots.compare(histories)

# %% [markdown]
# ## Is it learning what you think?
#
# Look at what is wrong, the worst first. With logits of the test set and their labels,
# [`classical.worst_examples`](../reference/classical.md#jaxdl.classical.worst_examples) ranks them and
# [`classical.confused_pairs`](../reference/classical.md#jaxdl.classical.confused_pairs) counts which
# class is taken for which.

# %% alt="The nine test digits with the greatest loss"
from jaxdl import classical

model = models.MLP((64, 10))
trainer = train.make(objective, optax.adam(3e-3))
result = train.fit(trainer, splits["train"], epochs=15, batch_size=32)
images, labels = splits["test"]["image"], splits["test"]["label"]
inputs = data.images.to_unit({"image": jnp.asarray(images)})["image"]
logits = model.apply({"params": result.state.params}, inputs, train=False)
worst = classical.worst_examples(
    losses.softmax_cross_entropy(logits, jnp.asarray(labels)), 9
)
print("true     ", labels[worst])
print("predicted", np.asarray(logits.argmax(-1))[worst])
plots.tiles(images[worst][..., 0])
