"""A trainer: everything that happens to a state, as three pure functions.

`make` takes the objective, the optimizer and every option of the step, as an optax transformation
takes its own, and returns `Trainer(init, step, evaluate)`. Every option is exact: totals and
weights are added up before the one division, whatever the number of micro-batches, devices or
padded rows. Options that are off leave no trace in the program.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.ad_checkpoint import checkpoint_name

from jaxdl.metrics import Mean
from jaxdl.objectives import Aux, Batch, Objective
from jaxdl.train._remat import Kept, keeping, rematerialized
from jaxdl.train._state import TrainState

Metrics = dict[str, Any]
SCALE_PERIOD = 2000  # steps without overflow after which the loss scale is doubled
FINITE = "finite if the step counts"  # name of a value in the program of a step that may be skipped


class Trainer(NamedTuple):
    """Three pure functions, to be jitted by whoever calls them; made by `make`.

    - `init(key, batch, *, params=None, model_state=None) -> state`: the state before the first
      step. Parameters and model state come from the objective's own `init`, unless given
      (pretrained ones; or those of an objective that is a plain function).
    - `step(state, batch) -> (state, metrics)`: one update; jit it with `state` donated.
    - `evaluate(state, batch) -> (state, metrics)`: the same numbers without an update. The state
      changes only in what an objective carries from batch to batch (a recurrent state).

    `metrics` are mergeable states by name, "loss" among them.
    """

    init: Callable[..., TrainState]
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    evaluate: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make(
    objective: Objective | Callable[..., tuple[Mean, Aux]],
    tx: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    clip_example_norm: float | None = None,
    compute_dtype: Any = None,
    ema: float | None = None,
    skip_nonfinite: int | None = None,
    loss_scale: float | None = None,
    remat: bool | Kept = False,
    grad_norm: bool = False,
) -> Trainer:
    """Builds the trainer that descends on total / weight of `objective`.

    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> trainer = make(objective, optax.sgd(0.25))
    >>> state = trainer.init(jax.random.key(0), params=jnp.array(0.0))
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> state, metrics = jax.jit(trainer.step, donate_argnames="state")(state, batch)
    >>> state.params, metrics["loss"].compute()
    (Array(1., dtype=float32), Array(5., dtype=float32))

    Args:
        objective: of `jaxdl.objectives`, or any function
            `(params, model_state, batch, key, *, train) -> (Mean, Aux)`.
        tx: the optimizer.
        accumulate: number of micro-batches the batch is cut into, one after the other; the
            gradient is that of the whole batch. A batch that does not divide is padded with
            masked rows. Batch statistics are those of each micro-batch in turn.
        clip_norm: greatest global norm of the gradient of the mean; longer ones are scaled down.
        clip_value: greatest magnitude of any entry of that gradient, applied after `clip_norm`.
        clip_example_norm: greatest norm of each example's own gradient of its total, applied
            before they are added (Abadi et al. 2016); adds the metric "example_grad_norm", the
            mean norm over real examples. Batch statistics are refused: no example is alone there.
        compute_dtype: dtype of the parameters inside the objective (`jnp.bfloat16`); the master
            copy, its gradient and the optimizer stay in float32. Over devices, layers of `jaxdl.nn`
            sum gradients in float32 where the mesh is known (`parallel.Layout.known`, as in
            `fit`); sums that the compiler places are in the dtype of the computation.
        ema: decay of a moving average of the parameters, kept in `state.ema` and evaluated with.
        skip_nonfinite: skips the update, all but the step counter, where loss or gradient is not
            finite, and counts it in `state.skipped` and the metric "skipped"; `fit` gives up after
            so many in a row.
        loss_scale: what the loss is multiplied with before it is differentiated, and the gradient
            divided by, so that float16 neither loses small numbers nor overflows (Micikevicius et
            al. 2018, arXiv:1710.03740). Here it begins; it is halved where a gradient is not
            finite, which skips the update, and doubled after 2,000 steps that were. `float16`
            needs it, `skip_nonfinite` goes with it; the metric is "loss_scale".
        remat: keeps only a few activations for the backward pass, where the forward pass is
            narrowest, and computes the others again (Chen et al. 2016, arXiv:1604.06174). On
            accelerators it is less memory for about a third more arithmetic, on a CPU only the
            latter. A name or several keep what `jax.ad_checkpoint.checkpoint_name` calls so: of
            jaxdl's networks "block" (what goes between residual blocks, dense layers, recurrent
            layers and blocks of transformers), "attention" (what it gives in a transformer) or
            "conv" (outputs of convolutions: no product is computed again). So is a policy of
            `jax.checkpoint_policies`, itself or as "dots_saveable" (no product is computed again),
            "dots_with_no_batch_dims_saveable" (none of weights) or "nothing_saveable".
        grad_norm: adds the metric "grad_norm", the norm before clipping.
    Raises: ValueError for options out of range.
    """
    if not hasattr(tx, "init") or not hasattr(tx, "update"):
        what = getattr(tx, "__name__", type(tx).__name__)
        raise ValueError(f"tx needs an optimizer of optax, as optax.adam(1e-3) is; got {what}")
    _check_options(accumulate, ema, skip_nonfinite, clip_norm, clip_value, clip_example_norm)
    _check_scale(compute_dtype, loss_scale, skip_nonfinite)

    def init(
        key: jax.Array, batch: Batch | None = None, *, params: Any = None, model_state: Any = None
    ) -> TrainState:
        # A chain of two: the state's key never makes parameters.
        state_key, init_key = jax.random.split(key)
        params, model_state = _begun(objective, init_key, batch, params, model_state)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=model_state,
            opt_state=tx.init(params),
            key=state_key,
            # A copy: donating a state whose leaves share a buffer is an error.
            ema=None if ema is None else jax.tree.map(jnp.copy, params),
            skipped=None if skip_nonfinite is None else jnp.zeros((2,), jnp.int32),
            loss_scale=None if loss_scale is None else jnp.array([loss_scale, 0.0]),
            skip_limit=skip_nonfinite,
        )

    gradient = _gradient(objective, compute_dtype, remat, clip_example_norm)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if accumulate == 1:
            scale = _scale_of(state)
            grads, (mean, aux) = gradient(state.params, state.model_state, batch, key, scale)
        else:
            grads, (mean, aux) = _accumulated(gradient, state, batch, key, accumulate)
        metrics: Metrics = {"loss": mean, **aux.metrics}
        # Nothing real in the batch: a gradient of zeros, not of 0/0.
        real = mean.weight > 0
        grads = _scale(grads, jnp.where(real, 1 / jnp.where(real, mean.weight, 1.0), 0.0))

        if skip_nonfinite is not None or grad_norm or clip_norm is not None:
            norm = optax.tree.norm(grads)
        if grad_norm:
            metrics["grad_norm"] = Mean(norm, jnp.ones(()))
        if clip_norm is not None:
            grads = _scale(grads, clip_norm / jnp.maximum(norm, clip_norm))
        if clip_value is not None:
            grads = jax.tree.map(lambda g: jnp.clip(g, -clip_value, clip_value), grads)

        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        new = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state=aux.model_state,
            opt_state=opt_state,
        )
        if ema is not None:
            new = new.replace(
                ema=jax.tree.map(lambda e, p: e + (1 - ema) * (p - e), state.ema, new.params)
            )
        if skip_nonfinite is not None:
            deciding = checkpoint_name(norm + mean.total, FINITE)
            finite = jnp.isfinite(deciding)
            new, metrics = _keep_if_finite(state, new, metrics, finite)
            if loss_scale is not None:
                metrics["loss_scale"] = Mean(state.loss_scale[0], jnp.ones(()))
                new = new.replace(loss_scale=_next_scale(state.loss_scale, finite))
        return new, metrics

    def evaluate(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        # Nothing is random in evaluation; the key is there for the signature.
        mean, aux = objective(
            state.eval_params, state.model_state, batch, jax.random.key(0), train=False
        )
        return state.replace(model_state=aux.model_state), {"loss": mean, **aux.metrics}

    return Trainer(init, step, evaluate)


def _begun(
    objective: Any, key: jax.Array, batch: Batch | None, params: Any, model_state: Any
) -> tuple[Any, Any]:
    """Parameters and model state to begin with; those that are given stay as they are."""
    if params is not None:
        begin = getattr(objective, "begin", None)
        if model_state is None:
            model_state = {} if begin is None or batch is None else begin({}, batch)
        return params, model_state
    make_first = getattr(objective, "init", None)
    if make_first is None:
        raise ValueError("this objective makes no parameters: give init the params to begin with")
    if batch is None:
        raise ValueError("init needs a batch, whose shapes decide those of the parameters")
    params, made = make_first(key, batch)
    return params, made if model_state is None else model_state


def _gradient(
    objective: Callable, compute_dtype: Any, remat: bool | Kept, clip_example_norm: float | None
) -> Callable:
    """`(params, model_state, batch, key, scale) -> (gradient of the total, (Mean, Aux))`."""

    def total_of(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, scale: jax.Array | None
    ) -> tuple[jax.Array, tuple[Mean, Aux]]:
        if compute_dtype is not None:
            params = cast_floating(params, compute_dtype)
        mean, aux = objective(params, model_state, batch, key, train=True)
        return mean.total if scale is None else mean.total * scale, (mean, aux)

    function: Callable[..., Any] = total_of
    if isinstance(remat, bool):
        function = rematerialized(total_of) if remat else total_of
    else:
        function = keeping(total_of, remat)
    differentiate = jax.grad(function, has_aux=True)

    def gradient(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, scale: jax.Array | None
    ) -> Any:
        grads, aux = differentiate(params, model_state, batch, key, scale)
        return grads if scale is None else _scale(grads, 1 / scale), aux

    if clip_example_norm is None:
        return gradient
    return _clipped_example_gradient(gradient, clip_example_norm)


def _check_scale(compute_dtype: Any, scale: float | None, skip_nonfinite: int | None) -> None:
    if scale is None and compute_dtype is not None and jnp.dtype(compute_dtype) == jnp.float16:
        raise ValueError(
            "compute_dtype float16 needs loss_scale, 2**15 say: "
            "gradients below 6e-8 are zero in it; bfloat16 needs none"
        )
    if scale is None:
        return
    if not 0 < scale < math.inf or math.frexp(scale)[0] != 0.5:
        raise ValueError(f"loss_scale must be a power of 2, which rounds nothing, got {scale}")
    if skip_nonfinite is None:
        raise ValueError(
            "loss_scale needs skip_nonfinite, the number of steps in a row that may overflow"
        )


def _scale_of(state: TrainState) -> jax.Array | None:
    return None if state.loss_scale is None else state.loss_scale[0]


def _next_scale(scale_and_age: jax.Array, finite: jax.Array) -> jax.Array:
    """Half the scale after an overflow, twice the scale after `SCALE_PERIOD` steps without."""
    scale, age = scale_and_age[0], scale_and_age[1] + 1
    grown = jnp.where(age >= SCALE_PERIOD, jnp.minimum(2 * scale, 2.0**30), scale)
    kept = jnp.stack([grown, jnp.where(age >= SCALE_PERIOD, 0.0, age)])
    return jnp.where(finite, kept, jnp.stack([jnp.maximum(scale / 2, 2.0**-30), jnp.zeros(())]))


def _check_options(
    accumulate: int, ema: float | None, skip_nonfinite: int | None, *clips: float | None
) -> None:
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    names = ("clip_norm", "clip_value", "clip_example_norm")
    for name, limit in zip(names, clips, strict=True):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be positive, got {limit}")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema must lie in [0, 1), got {ema}")
    if skip_nonfinite is not None and skip_nonfinite < 1:
        raise ValueError(f"skip_nonfinite must be at least 1 or None, got {skip_nonfinite}")


def _scale(tree: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda g: g * factor.astype(g.dtype), tree)


def merge_metrics(old: Metrics, new: Metrics) -> Metrics:
    """Merges two dicts of metric states name by name.

    >>> one, two = ({"loss": Mean.from_values(jnp.array(x))} for x in ([1.0], [3.0, 5.0]))
    >>> merge_metrics(one, two)["loss"].compute()
    Array(3., dtype=float32)
    """
    return {name: old[name].merge(new[name]) for name in new}


def cast_floating(tree: Any, dtype: Any) -> Any:
    """Casts floating leaves to `dtype`; integers, booleans and keys are left alone.

    >>> tree = cast_floating({"w": jnp.ones(2), "ids": jnp.arange(2)}, jnp.bfloat16)
    >>> jax.tree.map(lambda leaf: leaf.dtype.name, tree)
    {'ids': 'int32', 'w': 'bfloat16'}
    """

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def per_example_gradients(
    objective: Objective, params: Any, model_state: Any, batch: Batch, key: jax.Array
) -> Any:
    """Gradient of each example's total, every leaf `[B, ...]`: the objective under `vmap`.

    Example i gets the key `fold_in(key, i)`; masked rows have a gradient of zeros as far as the
    objective weighs them with 0.

    >>> def objective(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> batch = {"x": jnp.array([1.0, 3.0]), "mask": jnp.array([True, True])}
    >>> per_example_gradients(objective, jnp.array(0.0), {}, batch, jax.random.key(0))
    Array([-2., -6.], dtype=float32)
    """

    def total_of(params: Any, example: Batch, key: jax.Array) -> jax.Array:
        one = jax.tree.map(lambda x: x[None], example)
        return objective(params, model_state, one, key, train=True)[0].total

    size = len(jax.tree.leaves(batch)[0])
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(size))
    return jax.vmap(jax.grad(total_of), in_axes=(None, 0, 0))(params, batch, keys)


def _clipped_example_gradient(of_batch: Callable, limit: float) -> Callable:
    def gradient(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, scale: jax.Array | None
    ) -> Any:
        if jax.tree.leaves(model_state):
            raise ValueError(
                "clip_example_norm needs a model without state such as batch statistics"
            )

        def one(example: Batch, key: jax.Array) -> Any:
            single = jax.tree.map(lambda x: x[None], example)
            grads, (mean, aux) = of_batch(params, {}, single, key, scale)
            norm = optax.tree.norm(grads)
            grads = _scale(grads, limit / jnp.maximum(norm, limit))
            return grads, mean, aux.metrics, Mean.from_values(norm, mean.weight > 0)

        size = len(jax.tree.leaves(batch)[0])
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(size))
        grads, mean, metrics, norms = jax.vmap(one)(batch, keys)
        metrics = {**metrics, "example_grad_norm": norms}
        grads, mean = jax.tree.map(lambda x: jnp.sum(x, axis=0), (grads, mean))
        return grads, (mean, Aux(_merge_stacked(metrics), model_state))

    return gradient


def _merge_stacked(metrics: Metrics) -> Metrics:
    """Merges metric states stacked on a leading axis, in order; no metrics stay none."""
    if not jax.tree.leaves(metrics):
        return metrics
    first, rest = (jax.tree.map(lambda x, s=s: x[s], metrics) for s in (0, slice(1, None)))
    merged, _ = jax.lax.scan(lambda acc, new: (merge_metrics(acc, new), None), first, rest)
    return merged


def _accumulated(
    gradient: Callable, state: TrainState, batch: Batch, key: jax.Array, parts: int
) -> Any:
    """Gradient of the total, its Mean and Aux over `parts` micro-batches, one after the other."""
    size = len(batch["mask"])
    padding = -size % parts

    def cut(x: jax.Array) -> jax.Array:
        """Deals rows out like cards, so that each part stays spread over all devices."""
        x = jnp.pad(x, [(0, padding)] + [(0, 0)] * (x.ndim - 1))  # mask: False
        return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)

    micro = jax.tree.map(cut, dict(batch))
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(parts))
    scale = _scale_of(state)

    def body(carry: Any, xs: Any) -> Any:
        grads, model_state = carry
        micro_batch, micro_key = xs
        more, (mean, aux) = gradient(state.params, model_state, micro_batch, micro_key, scale)
        return (jax.tree.map(jnp.add, grads, more), aux.model_state), (mean, aux.metrics)

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    (grads, model_state), (mean, metrics) = jax.lax.scan(
        body, (zeros, state.model_state), (micro, keys)
    )
    mean = jax.tree.map(lambda x: jnp.sum(x, axis=0), mean)
    return grads, (mean, Aux(_merge_stacked(dict(metrics)), model_state))


def _keep_if_finite(
    old: TrainState, new: TrainState, metrics: Metrics, finite: jax.Array
) -> tuple[TrainState, Metrics]:
    """The new state, or the old one with the step counted; never a mixture."""
    bad = (~finite).astype(jnp.int32)
    in_a_row = jnp.where(finite, 0, old.skipped[0] + 1)
    kept = jax.tree.map(
        lambda n, o: jnp.where(finite, n, o), new.replace(key=None), old.replace(key=None)
    ).replace(key=old.key, step=new.step, skipped=jnp.stack([in_a_row, old.skipped[1] + bad]))
    # What was not learned from is not reported either: an empty state, not one that spoils a mean.
    metrics = jax.tree.map(lambda m: jnp.where(finite, m, jnp.zeros_like(m)), metrics)
    return kept, {**metrics, "skipped": Mean(bad.astype(jnp.float32), jnp.ones(()))}
