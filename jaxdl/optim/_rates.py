"""Optimizers in the conventions that optax lacks, and a learning rate that can be read."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxdl.optim._plateau import PlateauState

Rate = ArrayLike | Callable[[Any], Any]  # a number, or a schedule


def inject_rate(
    factory: Callable[..., optax.GradientTransformation], learning_rate: Rate, **options: Any
) -> optax.GradientTransformationExtraArgs:
    """`factory(learning_rate, **options)` whose state holds the rate of the latest step.

        tx = optim.inject_rate(
            optax.adamw, optim.cosine_decay(1e-3, decay_steps=900), weight_decay=0.1
        )

    Only the learning rate is injected (`optax.inject_hyperparams`); the other options stay
    constants of the program.

    >>> tx = inject_rate(optax.sgd, optax.constant_schedule(0.1))
    >>> learning_rates(tx.init(jnp.zeros(1)))
    {'learning_rate': 0.1}

    Raises: ValueError for a rate, known outside a program, that is negative or not finite.
    """
    _check_rate(learning_rate)
    static = set(inspect.signature(factory).parameters) - {"learning_rate"}
    injected = optax.inject_hyperparams(factory, static_args=static)
    return injected(learning_rate=learning_rate, **options)


def learning_rates(opt_state: Any) -> dict[str, float]:
    """Reads the rates that the latest step used, outside a program, for the record of a run.

        train.fit(..., observe=lambda state: optim.learning_rates(state.opt_state))

    >>> learning_rates(inject_rate(optax.sgd, 0.1).init(jnp.zeros(1)))
    {'learning_rate': 0.1}

    Returns: `{"learning_rate": rate}`, or `{"learning_rate/GROUP": rate}` with several; times the
        scale of `reduce_lr_on_plateau` where there is one. Factors of `scale_by_path` come on top.
    Raises: ValueError if no rate is kept: see `inject_rate`.
    """

    def is_node(node: Any) -> bool:
        return isinstance(node, PlateauState) or "learning_rate" in _hyperparams(node)

    nodes = jax.tree_util.tree_leaves_with_path(opt_state, is_leaf=is_node)
    scale: Any = 1.0
    rates = {}
    for path, node in nodes:
        if isinstance(node, PlateauState):
            scale = scale * node.scale
        elif is_node(node):
            groups = [str(k.key) for k in path if isinstance(k, jax.tree_util.DictKey)]
            rates["/".join(["learning_rate", *groups])] = node.hyperparams["learning_rate"]
    if not rates:
        raise ValueError("this optimizer keeps no learning rate; build it with optim.inject_rate")
    if len(rates) == 1:
        rates = {"learning_rate": next(iter(rates.values()))}
    return {name: float(rate * scale) for name, rate in rates.items()}


def momentum(
    learning_rate: Rate,
    decay: Rate = 0.9,
    *,
    nesterov: bool = False,
    rate_inside: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Gradient descent with momentum: `v = decay v + g`, `x = x - rate v`.

    >>> tx, params = momentum(0.1, 0.9), jnp.array([1.0])
    >>> state = tx.init(params)
    >>> updates, state = tx.update(jnp.array([1.0]), state, params)
    >>> tx.update(jnp.array([1.0]), state, params)[0]
    Array([-0.19], dtype=float32)

    Args:
        learning_rate, decay: numbers or schedules (`momentum_ramp`).
        nesterov: steps along `g + decay v` instead of `v`.
        rate_inside: `v = decay v + rate g`, `x = x - v`: the same while the rate is constant; when
            it falls, old gradients keep the rate of their time (the textbook's and Keras's form).
    Reference: Sutskever et al., On the importance of initialization and momentum, 2013.
    """
    trace: optax.GradientTransformation
    if callable(decay):
        static = ("nesterov", "accumulator_dtype")
        trace = optax.inject_hyperparams(optax.trace, static_args=static)(
            decay=decay, nesterov=nesterov
        )
    else:
        if isinstance(decay, (int, float)) and not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        trace = optax.trace(decay, nesterov)
    rate = inject_rate(optax.scale_by_learning_rate, learning_rate)
    return optax.chain(rate, trace) if rate_inside else optax.chain(trace, rate)


def adagrad_from_zero(
    learning_rate: Rate,
    *,
    eps: float = 1e-10,
    initial_accumulator: float = 0.0,
    eps_in_root: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad as published: `s = s + g^2`, `x = x - rate g / (sqrt(s) + eps)`, with s = 0 at first.

    >>> tx, params = adagrad_from_zero(0.1), jnp.array([1.0])
    >>> updates, _ = tx.update(jnp.array([4.0]), tx.init(params), params)
    >>> updates  # the first step is the rate, whatever the gradient
    Array([-0.1], dtype=float32)

    Args:
        eps_in_root: `g / sqrt(s + eps)`, as some books and optax write it.
        initial_accumulator: s before the first step; optax's own `adagrad` starts at 0.1, which
            makes the first step of a gradient of 0.01 thirty times smaller.
    Reference: Duchi, Hazan & Singer, Adaptive subgradient methods, 2011, fig. 1 (delta is eps).
    """
    if eps_in_root:
        scale = optax.scale_by_rss(initial_accumulator, eps)
    else:
        scale = _scale_by_rss_outside(initial_accumulator, eps)
    return optax.chain(scale, inject_rate(optax.scale_by_learning_rate, learning_rate))


def _scale_by_rss_outside(initial: float, eps: float) -> optax.GradientTransformation:
    def init(params: Any) -> optax.ScaleByRssState:
        return optax.ScaleByRssState(optax.tree.full_like(params, initial))

    def update(grads: Any, state: Any, params: Any = None) -> Any:
        del params
        total = jax.tree.map(lambda g, s: s + g * g, grads, state.sum_of_squares)
        scaled = jax.tree.map(
            lambda g, s: jnp.where(s > 0, g / jnp.where(s > 0, jnp.sqrt(s) + eps, 1.0), 0.0),
            grads,
            total,
        )
        return scaled, optax.ScaleByRssState(total)

    return optax.GradientTransformation(init, update)


def _hyperparams(node: Any) -> Any:
    return getattr(node, "hyperparams", {})


def _check_rate(rate: Rate) -> None:
    if isinstance(rate, (int, float)) and not 0 <= rate < float("inf"):
        raise ValueError(f"learning_rate must be finite and not negative, got {rate}")
