"""Searches over plans: the largest batch, what to recompute, how to lie on the devices."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jaxdl import parallel
from jaxdl.bench._plan import Plan, plan
from jaxdl.bench._targets import Target

_GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Search:
    """What was tried, best first known by `best`.

    Attributes:
        best: the label of the winner, or None if nothing fits.
        plans: by label, in the order in which they were compiled.
        why: one sentence on why the winner won.
    """

    best: Any
    plans: dict[Any, Plan]
    why: str


def with_batch(args: Sequence[Any], batch: int, batch_argnums: int | Sequence[int] | None) -> list:
    """The arguments as shapes, the leading axis of every array of a batch of `batch` entries.

    >>> with_batch([jax.ShapeDtypeStruct((3, 4), "float32")] * 2, 8, None)[1].shape
    (8, 4)
    """
    numbers = {len(args) - 1} if batch_argnums is None else {batch_argnums}
    if isinstance(batch_argnums, Sequence):
        numbers = set(batch_argnums)

    def resized(leaf: Any) -> Any:
        if not leaf.shape:
            return leaf
        return jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype)

    return [
        jax.tree.map(resized, arg) if number in numbers else arg for number, arg in enumerate(args)
    ]


def largest_batch(
    function: Callable[..., Any],
    *args: Any,
    target: str,
    layout: parallel.Layout | None = None,
    batch_argnums: int | Sequence[int] | None = None,
    multiple: int | None = None,
    most: int = 1 << 20,
    **options: Any,
) -> Search:
    """The largest batch that fits a target, by bisection on the compiler's answer.

    Args:
        function, args, target, layout, batch_argnums: as of `plan`; the batch of `args` is where
            the search starts.
        multiple: the batch is a multiple of this; by default of the devices that see different
            examples, so that it splits.
        most: where the search ends.
        options: of `plan`.

    Returns: a `Search` whose labels are batch sizes; a batch larger by `multiple` does not fit,
        unless `best` has reached `most`.

    >>> w, x = jax.ShapeDtypeStruct((8, 8), "float32"), jax.ShapeDtypeStruct((4, 8), "float32")
    >>> largest_batch(lambda w, x: x @ w, w, x, target="cpu", most=16, cache=False).best
    16
    """
    parts = _parts(target, layout)
    unit = multiple or parts
    if unit % parts:
        raise ValueError(f"multiple must split over {parts} devices, got {unit}")
    plans: dict[int, Plan] = {}
    shapes = [jax.tree.map(_shape_of, arg) for arg in args]

    def fits(batch: int) -> bool:
        if batch not in plans:
            resized = with_batch(shapes, batch, batch_argnums)
            plans[batch] = plan(
                function, *resized, target=target, layout=layout, batch_argnums=batch_argnums,
                **options,
            )  # fmt: skip
        return plans[batch].fits

    low, high = 0, (most // unit + 1) * unit  # the first fits, the last is not looked at
    candidate = unit
    while high - low > unit:
        if fits(candidate):
            low = candidate
        else:
            high = candidate
        candidate = _next(plans, low, high, unit)
    if low == 0:
        needed = min(one.peak_bytes for one in plans.values()) / _GIB
        return Search(None, plans, f"not even a batch of {unit} fits: it needs {needed:.2f} GiB")
    why = f"{low} needs {plans[low].peak_bytes / _GIB:.2f} GiB of what {target} gives"
    if high in plans:
        why += f", {high} would need {plans[high].peak_bytes / _GIB:.2f}"
    return Search(low, plans, why)


def _next(plans: Mapping[int, Plan], low: int, high: int, unit: int) -> int:
    """Where the peak, a straight line through the two largest that fit, meets the capacity."""
    fitting = sorted(batch for batch, one in plans.items() if one.fits)[-2:]
    middle = max((low + high) // 2 // unit, 1) * unit
    tried = len(plans)
    if len(fitting) < 2:
        return min(max(2 * low, unit), middle) if low else middle
    first, second = fitting
    slope = (plans[second].peak_bytes - plans[first].peak_bytes) / (second - first)
    room = plans[second].capacity_bytes - plans[second].peak_bytes
    guess = high if slope <= 0 else second + int(room / slope) // unit * unit
    if tried % 4 == 3 and high in plans:  # a line may be wrong: halve now and then
        guess = middle
    return min(max(guess, low + unit), high - unit)


def _parts(target: str, layout: parallel.Layout | None) -> int:
    if layout is None:
        return Target.parse(target).num_devices
    return layout.mesh.shape["replica"] * layout.mesh.shape["data"]


def _shape_of(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else leaf


def remat_search(
    make: Callable[[Any], Callable[..., Any]],
    *args: Any,
    policies: Mapping[str, Any],
    batches: Sequence[int],
    target: str,
    batch_argnums: int | Sequence[int] | None = None,
    **options: Any,
) -> Search:
    """What to recompute in the backward pass: the Pareto front of memory and operations.

    Args:
        make: `make(policy)` gives the step; a policy is what it hands to `jax.checkpoint`, or None
            for no recomputation.
        args, target, batch_argnums, options: as of `plan`.
        policies: by name.
        batches: sizes to try.

    Returns: a `Search` whose labels are `(policy, batch)`. `plans` holds the front alone: for each
        batch those that no other beats in both peak and operations. `best` is the largest batch
        that fits with the fewest operations an example.

    >>> def make(policy):
    ...     def loss(w, x):
    ...         return jax.numpy.sum(jax.numpy.sin(jax.numpy.sin(x @ w) @ w))
    ...     return jax.grad(loss if policy is None else jax.checkpoint(loss, policy=policy))
    >>> everything = jax.checkpoint_policies.nothing_saveable
    >>> w, x = jax.ShapeDtypeStruct((8, 8), "float32"), jax.ShapeDtypeStruct((4, 8), "float32")
    >>> policies = {"none": None, "everything": everything}
    >>> remat_search(make, w, x, policies=policies, batches=[4], target="cpu", cache=False).best
    ('none', 4)
    """
    shapes = [jax.tree.map(_shape_of, arg) for arg in args]
    tried: dict[tuple[str, int], Plan] = {}
    for batch in batches:
        for name, policy in policies.items():
            resized = with_batch(shapes, batch, batch_argnums)
            tried[name, batch] = plan(
                make(policy), *resized, target=target, batch_argnums=batch_argnums, **options
            )
    front = {
        label: one
        for label, one in tried.items()
        if not any(_beats(other, one) for (_, batch), other in tried.items() if batch == label[1])
    }
    fitting = [label for label, one in front.items() if one.fits]
    if not fitting:
        least = min(one.peak_bytes for one in tried.values()) / _GIB
        return Search(None, front, f"nothing fits {target}: the least is {least:.2f} GiB")
    best = min(fitting, key=lambda label: (-label[1], front[label].flops))
    base = min(one.flops for (_, batch), one in tried.items() if batch == best[1])
    more = front[best].flops / max(base, 1.0) - 1
    why = (
        f"{best[0]} takes a batch of {best[1]} in {front[best].peak_bytes / _GIB:.2f} GiB with "
        f"{more:.0%} more operations than the fewest"
    )
    return Search(best, front, why)


def _beats(other: Plan, one: Plan) -> bool:
    as_good = other.peak_bytes <= one.peak_bytes and other.flops <= one.flops
    return as_good and (other.peak_bytes, other.flops) != (one.peak_bytes, one.flops)


def layout_search(
    function: Callable[..., Any],
    *args: Any,
    target: str,
    replicas: Sequence[int] = (1,),
    largest_model: int = 8,
    shard_above: Sequence[int | None] = (None, 1 << 14),
    **options: Any,
) -> Search:
    """How a step should lie on a target: replica x data x model x `shard_above`.

    Args:
        function, args, target, options: as of `plan`.
        replicas: sizes of "replica" to try.
        largest_model: "model" is tried in powers of two up to this.
        shard_above: of `parallel.Layout`, to try.

    Returns: a `Search` whose labels are `(replica, data, model, shard_above)`, ranked by fit, then
        by the least seconds of communication (bytes over the slowest link), then by the peak.

    Raises:
        ValueError: if the batch splits over no layout.

    >>> w, x = jax.ShapeDtypeStruct((8, 8), "float32"), jax.ShapeDtypeStruct((4, 8), "float32")
    >>> search = layout_search(lambda w, x: x @ w, w, x, target="cpu", cache=False)
    >>> search.best
    (1, 1, 1, None)
    """
    devices = Target.parse(target).num_devices
    plans: dict[tuple[int, int, int, int | None], Plan] = {}
    refusal = ""
    for replica, model, above in _layouts(devices, replicas, largest_model, shard_above):
        rows = devices // (replica * model)
        mesh: Any = jax.sharding.AbstractMesh((replica, rows, model), ("replica", "data", "model"))
        try:
            plans[replica, rows, model, above] = plan(
                function, *args, target=target, layout=parallel.Layout(mesh, above), **options
            )
        except ValueError as error:
            refusal = str(error)
            if "do not split" not in refusal:
                raise
    if not plans:
        raise ValueError(refusal)

    def cost(label: tuple[int, int, int, int | None]) -> tuple[bool, float, float]:
        one = plans[label]
        links = one.sent_bytes if math.isnan(one.link_seconds) else one.link_seconds
        return not one.fits, links, one.peak_bytes

    best = min(plans, key=cost)
    won = plans[best]
    shape = f"replica {best[0]} x data {best[1]} x model {best[2]}, shard_above={best[3]}"
    sent, peak = won.sent_bytes / 1e6, won.peak_bytes / _GIB
    if not won.fits:
        return Search(None, plans, f"nothing fits {target}: the least, {shape}, is {peak:.2f} GiB")
    tally = sum(one.fits for one in plans.values())
    why = (
        f"{shape} sends the least, {sent:.1f} MB a device, of the {tally} that fit ({peak:.2f} GiB)"
    )
    return Search(best, dict(sorted(plans.items(), key=lambda item: cost(item[0]))), why)


def _layouts(
    devices: int, replicas: Sequence[int], largest: int, above: Sequence[int | None]
) -> list[tuple[int, int, int | None]]:
    models = [2**n for n in range(largest.bit_length()) if 2**n <= largest]
    return [
        (replica, model, one)
        for replica in replicas
        for model in models
        for one in above
        # without sharded arrays nothing lies along "model"
        if devices % (replica * model) == 0 and (one is not None or model == 1)
        if one is None or devices > 1
    ]


def scaling_on_paper(
    function: Callable[..., Any],
    *args: Any,
    targets: Sequence[str],
    batch_argnums: int | Sequence[int] | None = None,
    **options: Any,
) -> dict[str, dict[str, Plan]]:
    """Plans of one step on more and more chips, for `plots.plan_scaling`.

    Args:
        function, args, batch_argnums, options: as of `plan`; the batch of `args` is that of the
            first target.
        targets: by size, smallest first.

    Returns: "weak": by target, with as many examples a device as on the first; "strong": with as
        many in all. Where a batch does not split over a target, "strong" leaves it out.

    >>> w, x = jax.ShapeDtypeStruct((8, 8), "float32"), jax.ShapeDtypeStruct((4, 8), "float32")
    >>> both = scaling_on_paper(lambda w, x: x @ w, w, x, targets=["cpu"], cache=False)
    >>> sorted(both), both["weak"]["cpu"].flops
    (['strong', 'weak'], 512.0)
    """
    shapes = [jax.tree.map(_shape_of, arg) for arg in args]
    numbers = [len(args) - 1] if batch_argnums is None else batch_argnums
    first = numbers if isinstance(numbers, int) else next(iter(numbers))
    batch = next(leaf.shape[0] for leaf in jax.tree.leaves(shapes[first]) if leaf.shape)
    base = Target.parse(targets[0]).num_devices
    both: dict[str, dict[str, Plan]] = {"weak": {}, "strong": {}}
    for target in targets:
        devices = Target.parse(target).num_devices
        for kind, size in (("weak", batch * devices // base), ("strong", batch)):
            if size % devices == 0:
                resized = with_batch(shapes, size, batch_argnums)
                both[kind][target] = plan(
                    function, *resized, target=target, batch_argnums=batch_argnums, **options
                )
    return both
