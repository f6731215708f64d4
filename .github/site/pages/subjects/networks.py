# ---
# title: Networks of dense layers
# rows: ["networks of dense layers", "forward propagation", "activations and their derivatives",
#   "deep feed-forward"]
# ---

# %% [markdown]
# # Networks of dense layers
#
# A layer multiplies by a matrix, adds a bias and bends the result: $a^{(l)} = \varphi(W^{(l)}
# a^{(l-1)} + b^{(l)})$. Without the bend, any number of layers would be one. With it, a network
# with a single hidden layer comes as near as you like to any continuous function, and several
# layers get there with fewer units. For a whole batch the layer is one product of matrices, which
# is what the hardware is good at.
#
# The sigmoid and the hyperbolic tangent flatten out on both sides, and where they are flat their
# derivative is nearly zero. The rectifier $\max(0, x)$ has slope one for all positive inputs, so
# gradients pass through many layers; a unit that is negative for every example, though, learns
# nothing any more, which is why leaky forms let a little through. Softplus, $\log(1 + e^x)$, is the
# rectifier with its corner rounded; maxout takes the greatest of several linear pieces and learns
# its own shape.

# %% alt="Eight activation functions, each with its derivative"
from jaxdl import ops, plots

functions = {
    f.__name__: f
    for f in (
        ops.sigmoid,
        ops.tanh,
        ops.relu,
        ops.leaky_relu,
        ops.elu,
        ops.softplus,
        ops.silu,
        ops.gelu,
    )
}
plots.with_derivatives(functions)
