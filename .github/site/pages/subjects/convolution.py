# ---
# title: Convolution and pooling
# rows: ["convolutional network, forward", "convolution, pooling and heartbeats", "convolution,
#   padding, stride", "LeNet", "convolution of functions"]
# ---

# %% [markdown]
# # Convolution and pooling
#
# A dense layer on an image does not know that neighboring pixels belong together. A convolution
# slides one small kernel over all places, so that what is learned in one corner holds in all:
#
# $$y_{i, j, o} = b_o + \sum_{u, v, c} k_{u, v, c, o}\; x_{i s + u - p,\; j s + v - p,\; c}$$
#
# With kernel size $k$, padding $p$ and stride $s$, a side of $n$ becomes $\lfloor (n + 2p - k) / s
# \rfloor + 1$. Strictly this is a correlation: the convolution of mathematics, $(f * g)(x) = \sum_t
# f(t)\, g(x - t)$, turns the kernel round, which a learned kernel does not notice. *Pooling* takes
# the maximum or the mean of each window, and makes what follows less sensitive to a shift. Each
# layer sees a wider part of the image, its *receptive field*.
#
# LeNet is two convolutions with pooling and three dense layers; the same in one dimension reads
# heartbeats. The gradient of a convolution is two more convolutions: with the input for the kernel,
# with the kernel turned round for the input.

# %% alt="A digit, its vertical edges, and the edges after pooling to half the size"
import jax.numpy as jnp

from jaxdl import data, ops, plots

digit = (
    jnp.asarray(data.load("digits")["train"]["image"][0], jnp.float32)[None] / 255
)
kernel = jnp.array([[-1.0, 0.0, 1.0]] * 3)[:, :, None, None]
edges = ops.conv(digit, kernel, padding=1)
pooled = ops.max_pool(edges, 2)
print(
    "sides:", digit.shape[1], ops.conv_output_size(8, 3, padding=1), pooled.shape[1]
)
plots.gallery(
    {"image": digit[0], "vertical edges": edges[0], "after pooling": pooled[0]},
    columns=3,
)
