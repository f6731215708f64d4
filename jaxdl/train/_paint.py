"""Style transfer: descent on the pixels of an image (Gatys, Ecker & Bethge 2016)."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jaxdl.objectives.style import Balance, Targets, parts

_ADAM = optax.scale_by_adam()


def paint(
    body: Any,
    variables: Any,
    images: jax.Array,
    targets: Targets,
    *,
    steps: int,
    balance: Balance = Balance(),  # noqa: B008
    learning_rate: float = 0.02,
    driver: Literal["auto", "loop", "scan"] = "auto",
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Descends by Adam on the weighted sum of the losses, with the pixels kept in 0..1.

    >>> from jaxdl.objectives.style import targets
    >>> from jaxdl.models.style import vgg19
    >>> body, images = vgg19(width=4), jnp.zeros((1, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> run = lambda v: paint(body, v, images, targets(body, v, images, images), steps=9)
    >>> painted, history = jax.eval_shape(run, variables)
    >>> painted.shape, history["style"].shape
    ((1, 32, 48, 3), (9, 1))

    Args:
        body, variables: as for `targets`; what has batch norm uses its running averages.
        images: `[B, H, W, 3]` where to begin: the content, or noise.
        targets: from `targets`.
        steps: how many; one step is compiled once, whatever the weights and rates are.
        balance: weights of content, style and variation.
        learning_rate: of Adam, in units of the pixels, at the start of a cosine to zero.
        driver: 'scan' compiles all steps into one loop, 'loop' calls the compiled step. 'auto' is
            the loop on a CPU, where XLA's convolutions are slower inside a compiled loop,
            elsewhere the scan.
    Returns: the painted images, and for every part of the loss `[steps, B]`, before each step.
    Raises: ValueError if there are no steps or the driver is unknown.
    """
    if steps < 1 or driver not in ("auto", "loop", "scan"):
        raise ValueError(
            f"need steps of 1 or more and driver auto, loop or scan, got {steps}, {driver!r}"
        )
    if driver == "auto":
        driver = "loop" if jax.default_backend() == "cpu" else "scan"
    carry = (images, _ADAM.init(images))
    fixed = (variables, targets, balance, learning_rate, steps)
    if driver == "scan":
        (images, _), history = _scan(body, steps, fixed, carry)
        return images, history
    rows = []
    for _ in range(steps):
        carry, row = _step(body, fixed, carry)
        rows.append(row)
    return carry[0], jax.tree.map(lambda *values: jnp.stack(values), *rows)


@functools.partial(jax.jit, static_argnames="body")
def _step(body: Any, fixed: Any, carry: Any) -> Any:
    variables, targets, balance, learning_rate, steps = fixed
    images, state = carry

    def total(images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        found = parts(body, variables, images, targets)
        weighted = (weight * found[name] for name, weight in balance._asdict().items())
        return jnp.sum(sum(weighted)), found  # images do not touch each other

    gradient, found = jax.grad(total, has_aux=True)(images)
    rate = learning_rate * (1 + jnp.cos(jnp.pi * state.count / steps)) / 2
    updates, state = _ADAM.update(gradient, state)
    return (jnp.clip(images - rate * updates, 0, 1), state), found


@functools.partial(jax.jit, static_argnames=("body", "steps"))
def _scan(body: Any, steps: int, fixed: Any, carry: Any) -> Any:
    return jax.lax.scan(lambda carry, _: _step(body, fixed, carry), carry, length=steps)
