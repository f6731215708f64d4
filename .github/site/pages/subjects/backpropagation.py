# ---
# title: Back-propagation
# rows: ["back-propagation, computation graphs", "multi-layer perceptron, back-propagation",
#   "multi-layer perceptron, deltas", "derivatives by vectors", "a network by hand", "vanishing
#   gradients, other"]
# ---

# %% [markdown]
# # Back-propagation
#
# The gradient of a loss through many layers is the chain rule, read from the back. With $u^{(l)} =
# W^{(l)} a^{(l-1)}$ and $\delta^{(l)} = \partial E / \partial u^{(l)}$,
#
# $$\delta^{(l)} = \left( W^{(l+1)\top} \delta^{(l+1)} \right) \odot \varphi'(u^{(l)}), \qquad
# \frac{\partial E}{\partial W^{(l)}} = \delta^{(l)} a^{(l-1)\top}$$
#
# Each layer needs the delta of the one after it and what it saw itself on the way forward, so one
# pass back costs about as much as two forward. `jax.grad` does this for any program;
# `inspect.deltas` shows the $\delta$ it passes.
#
# The formula also says what can go wrong: every layer multiplies by $\varphi'$ and by a matrix.
# With sigmoids ($\varphi' \le 1/4$) the product shrinks geometrically, and early layers hardly
# learn. Rectifiers, a start whose matrices keep the size of what passes through, normalization and
# short cuts around layers are the answers. A gradient that was written by hand is held against
# differences, $(E(w + h) - E(w - h)) / 2h$, in double precision.

# %% alt="Size of the deltas at each of nine layers: with sigmoids they shrink by orders of magnitude towards the input"
import jax
import jax.numpy as jnp

from jaxdl import inspect, losses, models, ops, plots

x = jax.random.normal(jax.random.key(0), (32, 64))
labels = jnp.arange(32) % 10
sizes = {}
for name, activation in {"sigmoid": ops.sigmoid, "relu": ops.relu}.items():
    model = models.MLP((64,) * 8 + (10,), activation=activation)
    variables = model.init(jax.random.key(1), x, train=False)
    cross_entropy = lambda logits: losses.softmax_cross_entropy(
        logits, labels
    ).mean()
    _, deltas = inspect.deltas(model, variables, cross_entropy, x, train=False)
    sizes[name] = list(inspect.gradient_flow(deltas).values())
plots.gradient_flow({"nine layers at the start": sizes})
