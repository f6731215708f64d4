"""Learning rates that fall when a held-out number stops improving.

The rate's scale lives in the optimizer's state; `report_plateau` moves it, between epochs or inside
a compiled run:

    tx = optax.chain(optax.adam(1e-3), optim.reduce_lr_on_plateau(patience=5))
    def after_epoch(state, row):
        return dataclasses.replace(
        state,opt_state=optim.report_plateau(state.opt_state, row["test/loss"]))
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class _Rule:
    factor: float
    patience: int
    relative: float
    absolute: float
    mode: Literal["min", "max"]
    cooldown: int
    min_scale: float
    against: Literal["best", "previous"]


@struct.dataclass
class PlateauState:
    """State of `reduce_lr_on_plateau` and `halve_when_slow`."""

    scale: jax.Array  # what updates are multiplied by
    reference: jax.Array  # the best number so far, or the previous one; inf before the first
    bad: jax.Array  # reports in a row that did not improve on it
    wait: jax.Array  # reports left of the cooldown
    rule: _Rule = struct.field(pytree_node=False)


def reduce_lr_on_plateau(
    *,
    factor: float = 0.1,
    patience: int = 10,
    relative: float = 1e-4,
    absolute: float = 0.0,
    mode: Literal["min", "max"] = "min",
    cooldown: int = 0,
    min_scale: float = 0.0,
) -> optax.GradientTransformation:
    """Scales updates by a number that `report_plateau` lowers; torch's ReduceLROnPlateau.

    Chain it after the optimizer. (`optax.contrib.reduce_on_plateau` counts training steps.)

    >>> tx = reduce_lr_on_plateau(factor=0.5, patience=0)
    >>> state = report_plateau(report_plateau(tx.init(jnp.zeros(1)), 1.0), 1.0)
    >>> tx.update(jnp.ones(1), state)[0]
    Array([0.5], dtype=float32)

    Args:
        factor: of the scale at each reduction, in (0, 1).
        patience: reports without improvement that are still accepted; the next one reduces.
        relative, absolute: a report improves if it beats the best by more than
            `max(relative * |best|, absolute)`; NaN never does.
        mode: whether a smaller or a greater number is better.
        cooldown: reports after a reduction that are not counted as bad.
        min_scale: the scale does not fall below it.
    """
    if patience < 0 or cooldown < 0:
        raise ValueError(f"patience and cooldown must be at least 0, got {patience}, {cooldown}")
    return _scale_by(_Rule(factor, patience, relative, absolute, mode, cooldown, min_scale, "best"))


def halve_when_slow(
    *, absolute: float, factor: float = 0.5, min_scale: float = 0.0
) -> optax.GradientTransformation:
    """Halves the rate after each epoch whose number fell by no more than `absolute`.

    The comparison is with the report before, not with the best one.

    >>> tx = halve_when_slow(absolute=0.1)
    >>> state = report_plateau(report_plateau(tx.init(jnp.zeros(1)), 1.0), 0.95)
    >>> tx.update(jnp.ones(1), state)[0]
    Array([0.5], dtype=float32)
    """
    return _scale_by(_Rule(factor, 0, 0.0, absolute, "min", 0, min_scale, "previous"))


def report_plateau(opt_state: Any, value: ArrayLike) -> Any:
    """Tells the optimizer a held-out number; pure, so that it may be called in a compiled run.

    >>> state = halve_when_slow(absolute=0.1).init(jnp.zeros(1))
    >>> report_plateau(report_plateau(state, 1.0), 0.95).scale
    Array(0.5, dtype=float32)

    Raises: ValueError if the optimizer has neither `reduce_lr_on_plateau` nor `halve_when_slow`.
    """

    def is_node(node: Any) -> bool:
        return isinstance(node, PlateauState)

    if not any(map(is_node, jax.tree.leaves(opt_state, is_leaf=is_node))):
        raise ValueError("the optimizer has no optim.reduce_lr_on_plateau or optim.halve_when_slow")
    return jax.tree.map(
        lambda node: _report(node, value) if is_node(node) else node, opt_state, is_leaf=is_node
    )


def _report(state: PlateauState, value: ArrayLike) -> PlateauState:
    rule = state.rule
    value = jnp.asarray(value, jnp.float32) * (1 if rule.mode == "min" else -1)
    margin = jnp.maximum(rule.relative * jnp.abs(state.reference), rule.absolute)
    first = jnp.isinf(state.reference)
    better = ~jnp.isnan(value) & (first | (state.reference - value > margin))
    moves = better if rule.against == "best" else ~jnp.isnan(value)
    waiting = state.wait > 0
    bad = jnp.where(better | waiting, 0, state.bad + 1)
    reduce = bad > rule.patience
    lower = jnp.maximum(state.scale * rule.factor, rule.min_scale)
    return dataclasses.replace(
        state,
        scale=jnp.where(reduce, lower, state.scale),
        reference=jnp.where(moves, value, state.reference),
        bad=jnp.where(reduce, 0, bad),
        wait=jnp.where(reduce, rule.cooldown, jnp.maximum(state.wait - 1, 0)),
    )


def _scale_by(rule: _Rule) -> optax.GradientTransformation:
    if not 0 < rule.factor < 1:
        raise ValueError(f"factor must lie in (0, 1), got {rule.factor}")
    if rule.mode not in ("min", "max"):
        raise ValueError(f"mode must be min or max, got {rule.mode!r}")
    if not (rule.relative >= 0 and rule.absolute >= 0 and 0 <= rule.min_scale <= 1):
        raise ValueError(f"margins and min_scale must not be negative, got {rule}")

    def init(params: Any) -> PlateauState:
        del params
        return PlateauState(
            scale=jnp.ones(()),
            reference=jnp.full((), jnp.inf),
            bad=jnp.zeros((), jnp.int32),
            wait=jnp.zeros((), jnp.int32),
            rule=rule,
        )

    def update(updates: Any, state: PlateauState, params: Any = None) -> Any:
        del params
        return jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates), state

    return optax.GradientTransformation(init, update)
