# ---
# title: Optimization
# rows: ["initialization, rates, order, momentum", "momentum, rates and batch sizes compared",
#   "momentum, AdaGrad", "Adam and mini-batches"]
# ---

# %% [markdown]
# # Optimization
#
# Descent on the whole data set is exact and slow; on a *mini-batch* each step is a noisy estimate
# that costs a fraction. Larger batches make it less noisy by the square root of their size only, so
# up to what the hardware does for free, they pay.
#
# *Momentum* averages the gradients of the past, so that steps across a valley cancel and those
# along it add up. AdaGrad divides each coordinate by the root of the sum of its squared gradients;
# RMSProp and AdaDelta forget old ones; *Adam* has both the average and the root, each corrected for
# having started at zero:
#
# $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
# x \leftarrow x - \eta\, \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$$
#
# The start matters as much. Weights that are all equal stay equal; too small or large ones shrink
# or blow up what passes through. Xavier's and He's rules choose the variance $1/n$ or $2/n$ so that
# it stays the same from layer to layer. The rate is the number to tune first, and a *schedule* that
# lowers it gets the last bit.

# %% alt="Three paths down a narrow valley: plain descent zigzags across it, momentum and Adam run along it"
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxdl import optim


def path(tx, steps=60):
    def step(carry, _):
        x, state = carry
        updates, state = tx.update(
            jnp.array([0.1, 2.0]) * x, state, x
        )  # of a narrow valley
        return (optax.apply_updates(x, updates), state), x

    start = jnp.array([-4.0, 1.5])
    return np.asarray(jax.lax.scan(step, (start, tx.init(start)), length=steps)[1])


figure = Figure(figsize=(8, 3), layout="constrained")
axes = figure.add_subplot()
grid = np.meshgrid(np.linspace(-5, 2, 100), np.linspace(-2, 2, 100))
axes.contour(
    *grid, 0.05 * grid[0] ** 2 + grid[1] ** 2, 12, colors="0.75", linewidths=0.8
)
methods = {
    "descent": optax.sgd(0.8),
    "momentum": optim.momentum(0.1, 0.9),
    "Adam": optax.adam(0.3),
}
for (name, tx), marker in zip(methods.items(), "os^", strict=True):
    axes.plot(*path(tx).T, marker=marker, markersize=3, linewidth=1, label=name)
axes.set(xlabel="first coordinate", ylabel="second coordinate")
axes.legend(frameon=False)
figure
