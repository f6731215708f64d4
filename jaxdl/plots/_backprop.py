"""Figures of functions with their derivatives, and of gradients on their way through a network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl.plots._style import add_panels


def with_derivatives(
    functions: Mapping[str, Callable[[jax.Array], jax.Array]],
    *,
    low: float = -4.0,
    high: float = 4.0,
    columns: int = 4,
) -> Any:
    """Draws each function of one number and its derivative, a panel each, on one scale.

    The derivative is drawn as points, so that its jumps are not joined.

    >>> figure = with_derivatives({"relu": jax.nn.relu, "tanh": jnp.tanh}, columns=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['relu', 'tanh']
    """
    from matplotlib.figure import Figure

    x = jnp.linspace(low, high, 401)

    @jax.jit
    def values_and_slopes(x):
        return {name: jax.vmap(jax.value_and_grad(f))(x) for name, f in functions.items()}

    drawn = values_and_slopes(x)
    rows = -(-len(functions) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.3 * rows), layout="constrained")
    panels = add_panels(figure, rows, columns, squeeze=False, sharex=True, sharey=True).flat
    for axes, name in zip(panels, functions, strict=False):
        value, slope = drawn[name]
        axes.plot(x, value, label="f")
        axes.plot(x, slope, ".", markersize=2, label="f'")
        axes.set_title(name, size=10)
        axes.set_ylim(-1.6, 3.2)
        axes.grid(alpha=0.3)
        if name == next(iter(functions)):
            axes.legend(frameon=False, markerscale=4)
    for axes in figure.axes[len(functions) :]:
        axes.remove()
    return figure


def gradient_flow(
    sizes: Mapping[str, Mapping[str, Sequence[float]]], *, ylabel: str = "RMS of delta"
) -> Any:
    """Draws how large gradients are layer by layer, a panel each for `{panel: {curve: sizes}}`.

    >>> sizes = {"sigmoid": {"seed 0": [0.001, 0.1]}, "relu": {"seed 0": [0.1, 0.1]}}
    >>> figure = gradient_flow(sizes)
    >>> [axes.get_title() for axes in figure.axes], figure.axes[0].get_yscale()
    (['sigmoid', 'relu'], 'log')
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2 * max(1, len(sizes)), 3.4), layout="constrained")
    panels = add_panels(figure, 1, max(1, len(sizes)), squeeze=False, sharey=True)[0]
    for axes, (panel, curves) in zip(panels, sizes.items(), strict=False):
        for name, values in curves.items():
            axes.semilogy(range(1, len(values) + 1), values, marker=".", label=name)
        axes.set_title(panel)
        axes.set_xlabel("layer, from the input")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    panels[0].set_ylabel(ylabel)
    return figure
