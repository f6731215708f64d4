"""The training of one member of a sweep as a traced function, and all members over all devices."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from jaxdl import data, ops
from jaxdl._named import Named
from jaxdl.train._make import Metrics, Trainer, merge_metrics
from jaxdl.train._planning import offer_sweep
from jaxdl.train._state import TrainState
from jaxdl.train._steps import check_splits

Hyper = Mapping[str, jax.Array]
Member = Callable[[Hyper], Trainer]


class _Hyper(Named):
    lacks = "hypers have no column"


@dataclasses.dataclass(frozen=True)
class OneMember:
    """The training of one member, traced; the fields are the arguments of `make_sweep`."""

    member: Member
    num_examples: int
    epochs: int
    batch_size: int | None  # None where each member has its own
    rows: int  # of every batch, padding included
    seed: int | None
    example: Any
    eval_batch_size: int
    after_epoch: Callable[..., TrainState] | None = None

    def trainer(self, hyper: Hyper) -> Trainer:
        return self.member(_Hyper(hyper))

    def first(self, hyper: Hyper, columns: Any, held_columns: Any) -> Any:
        """The state before the first step, that it is alive, and a history to be filled `[E]`."""
        key = jax.random.key(hyper.get("seed", self.seed or 0))
        state = self.trainer(hyper).init(key, self.example)
        carry = state, jnp.array(True)
        # Closed over, not passed: shapes alone would lose the mesh that the members lie on.
        _, numbers = jax.eval_shape(
            lambda: self._epoch(hyper, carry, jnp.int32(0), columns, held_columns)
        )
        history = {name: jnp.full(self.epochs, jnp.nan, x.dtype) for name, x in numbers.items()}
        return *carry, history

    def advance(
        self, hyper: Hyper, carry: Any, start: Any, stop: Any, columns: Any, held_columns: Any
    ) -> Any:
        """The same after the epochs from `start` to `stop`."""

        def body(number: jax.Array, carry: Any) -> Any:
            state, alive, history = carry
            (state, alive), numbers = self._epoch(
                hyper, (state, alive), number, columns, held_columns
            )
            history = {name: history[name].at[number].set(x) for name, x in numbers.items()}
            return state, alive, history

        return jax.lax.fori_loop(start, stop, body, carry)

    def _epoch(
        self, hyper: Hyper, carry: Any, number: jax.Array, columns: Any, held_columns: Any
    ) -> Any:
        trainer = self.trainer(hyper)
        state, alive = carry
        order: Any = hyper.get("seed", self.seed)
        size: Any = hyper["batch_size"] if self.batch_size is None else self.batch_size
        steps_per_epoch = -(-self.num_examples // size)
        _, of_one = jax.eval_shape(lambda: trainer.step(state, self.example))
        merged_spec = jax.eval_shape(merge_metrics, of_one, of_one)
        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), merged_spec)

        def batch_at(k: jax.Array) -> dict[str, jax.Array]:
            if self.batch_size is None:
                return _padded_batch(columns, k, size, self.rows, order)
            return data.resident_batch(columns, k, batch_size=self.rows, seed=order)

        def take(i: jax.Array, carry: Any) -> Any:
            state, metrics, alive = carry
            after, new = trainer.step(state, batch_at(number * steps_per_epoch + i))
            alive &= _finite((new["loss"].total, after.params, after.model_state))
            merged = _where(i == 0, new, merge_metrics(metrics, new))
            return _kept(alive, after, state), _where(alive, merged, metrics), alive

        state, metrics, alive = jax.lax.fori_loop(0, steps_per_epoch, take, (state, empty, alive))
        numbers = _scalars(metrics, "train/")
        for name, held in held_columns.items():
            merged = _evaluate(trainer, state, held, self.eval_batch_size)
            numbers |= _scalars(merged, f"{name}/")
        if self.after_epoch is not None:
            state = _kept(alive, self.after_epoch(state, numbers), state)
        return (state, alive), {name: jnp.where(alive, x, jnp.nan) for name, x in numbers.items()}


def on_mesh(
    function: Callable[..., Any],
    mesh: Mesh,
    vectorize: ops.Vectorize,
    members: tuple,
    shared: tuple,
) -> Any:
    """`function(*members, *shared)`, of one member's values, for members spread over a mesh."""
    spread, everywhere = PartitionSpec("member"), PartitionSpec()
    return jax.shard_map(
        _all_members(function, len(members), vectorize),
        mesh=mesh,
        in_specs=(*[spread] * len(members), *[everywhere] * len(shared)),
        out_specs=spread,
        check_vma=False,
    )(*members, *shared)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh with one axis, "member", for sharding that XLA completes."""
    return jax.make_mesh((len(devices),), ("member",), axis_types=(AxisType.Auto,), devices=devices)


def _all_members(
    function: Callable[..., Any], count: int, vectorize: ops.Vectorize
) -> Callable[..., Any]:
    """Of the arguments the first `count` have a leading axis of members."""

    def all_members(*args: Any) -> Any:
        return ops.vectorized(lambda each: function(*each, *args[count:]), args[:count], vectorize)

    return all_members


class Spread(NamedTuple):
    """A function over all members: to be traced, and compiled with the members on all devices."""

    function: Callable[..., Any]
    compiled: Callable[[tuple, tuple], Any]


def over_devices(
    function: Callable[..., Any],
    devices: Sequence[jax.Device],
    vectorize: ops.Vectorize,
    members: tuple,
    shared: tuple,
    donate: tuple[int, ...] = (),
) -> Spread:
    """`function(*members, *shared)`, of one member's values, for all members spread over devices.

    Members that fill up the last device are copies of the last one, and are dropped again. Devices
    of several processes give back all members to each of them.
    """
    num_members = len(jax.tree.leaves(members)[0])

    def filled(tree: Any) -> Any:
        short = -num_members % len(devices)
        if not short:
            return tree
        return jax.tree.map(lambda x: jnp.concatenate([x, x[jnp.array([-1] * short)]]), tree)

    mesh, count = mesh_of(devices), len(members)

    def spread(*args: Any) -> Any:
        return on_mesh(function, mesh, vectorize, args[:count], args[count:])

    program = jax.jit(spread, donate_argnums=donate)
    shapes = jax.eval_shape(filled, members)
    compiled = program.lower(*shapes, *shared).compile()

    sharding = NamedSharding(mesh, PartitionSpec("member"))

    def call(members: tuple, shared: tuple) -> Any:
        if jax.process_count() > 1:
            given = jax.jit(filled, out_shardings=sharding)(members)
            return everywhere(compiled(*given, *shared), num_members)
        result = compiled(*jax.device_put(filled(members), sharding), *shared)
        if num_members % len(devices) == 0:
            return result
        # Cut on one device: slices of arrays that lie over several exchange data, each a program of
        # its own, and a CPU with as few threads as devices can wait in two of them for ever.
        return jax.tree.map(lambda x: jax.device_put(x, devices[0])[:num_members], result)

    return Spread(_all_members(function, count, vectorize), call)


def devices_for(num_members: int, devices: Sequence[jax.Device] | None = None) -> list[jax.Device]:
    """Those of all processes, no more than there are members but at least one of each process."""
    found = list(jax.devices() if devices is None else devices)
    firsts = {device.process_index: device for device in reversed(found)}
    if len(firsts) < jax.process_count():
        raise ValueError(f"devices need one of each of {jax.process_count()} processes")
    rest = [device for device in found if device not in firsts.values()]
    chosen = {*firsts.values(), *rest[: max(num_members - len(firsts), 0)]}
    return [device for device in found if device in chosen]


def everywhere(tree: Any, num_members: int) -> Any:
    """The first members of arrays that lie over several processes, copied to each device."""
    mesh = next(leaf.sharding.mesh for leaf in jax.tree.leaves(tree))
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.jit(_first, static_argnums=1, out_shardings=whole)(tree, num_members)


def _first(tree: Any, num_members: int) -> Any:
    return jax.tree.map(lambda x: x[:num_members], tree)


def rows_of(tree: Any, places: np.ndarray) -> Any:
    """Some of the members, for a program of another width."""
    if jax.process_count() > 1:  # they lie everywhere
        return jax.tree.map(lambda x: x[places], tree)
    device = jax.local_devices()[0]
    return jax.tree.map(lambda x: jax.device_put(x, device)[places], tree)


def prepare(
    member: Member,
    hypers: Mapping[str, ArrayLike],
    split: data.Dataset,
    *,
    epochs: int,
    batch_size: int | None,
    seed: int | None,
    held_out: Mapping[str, data.Dataset],
    eval_batch_size: int,
    after_epoch: Callable[..., TrainState] | None = None,
) -> tuple[dict[str, np.ndarray], OneMember, tuple[Any, Any]]:
    """What every search begins with: columns of members, the training of one, and its data."""
    check_splits(split, held_out)
    columns = {name: np.asarray(values) for name, values in hypers.items()}
    check(columns, batch_size, len(split), epochs)
    rows = int(columns["batch_size"].max()) if batch_size is None else batch_size
    example = data.host_batch(split, 0, batch_size=rows)
    offer_sweep(member, columns, example)  # to `--plan`, which trains nothing
    one = OneMember(
        member, len(split), epochs, batch_size, rows, seed, example, eval_batch_size, after_epoch
    )
    held = {name: dict(part.columns) for name, part in held_out.items()}
    return columns, one, (dict(split.columns), held)


def check(
    columns: Mapping[str, np.ndarray], batch_size: int | None, num_examples: int, epochs: int
) -> None:
    """Raises ValueError for columns, sizes or epochs that make no sweep."""
    shapes = {name: column.shape for name, column in columns.items()}
    if not shapes or len(set(shapes.values())) > 1 or any(len(s) != 1 for s in shapes.values()):
        raise ValueError(f"hypers need columns [M] of one length, got {shapes}")
    num_members = len(next(iter(columns.values())))
    if num_members < 1 or epochs < 1:
        raise ValueError(f"need a member and an epoch, got {num_members} and {epochs}")
    if (batch_size is None) == ("batch_size" not in columns):
        raise ValueError("give batch_size either as an argument or as a column of hypers")
    for size in columns["batch_size"].tolist() if batch_size is None else [batch_size]:
        data.num_batches(num_examples, size)


def _padded_batch(
    columns: Mapping[str, jax.Array], k: jax.Array, size: jax.Array, rows: int, seed: Any
) -> dict[str, jax.Array]:
    """Batch k of `size` examples in an array of `rows`; `size` is known only at run time."""
    num_examples = len(next(iter(columns.values())))
    steps = -(-num_examples // size)
    row = jnp.arange(rows)
    position = (k % steps) * size + row
    mask = (row < size) & (position < num_examples)
    index = jnp.minimum(position, num_examples - 1)
    if seed is not None:
        index = data.shuffled(index, num_examples, seed, k // steps)

    def gather(column: jax.Array) -> jax.Array:
        taken = jnp.take(column, index, axis=0, mode="clip")
        return jnp.where(mask.reshape(mask.shape + (1,) * (taken.ndim - 1)), taken, 0)

    return {**{name: gather(column) for name, column in columns.items()}, "mask": mask}


def _evaluate(trainer: Trainer, state: TrainState, columns: Any, batch_size: int) -> Metrics:
    num_examples = len(next(iter(columns.values())))
    batch_size = min(batch_size, num_examples)

    def at(k: Any) -> Metrics:
        batch = data.resident_batch(columns, k, batch_size=batch_size)
        return trainer.evaluate(state, batch)[1]

    steps = data.num_batches(num_examples, batch_size)
    if steps == 1:
        return at(0)
    first = at(0)
    widened = merge_metrics(first, jax.tree.map(jnp.zeros_like, first))
    start = _where(True, first, widened)
    return jax.lax.fori_loop(1, steps, lambda k, merged: merge_metrics(merged, at(k)), start)


def _scalars(metrics: Metrics, prefix: str) -> dict[str, jax.Array]:
    values = {name: jnp.asarray(state.compute()) for name, state in metrics.items()}
    return {prefix + name: value for name, value in values.items() if value.ndim == 0}


def _finite(tree: Any) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def _where(condition: Any, chosen: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)


def _kept(alive: jax.Array, after: TrainState, state: TrainState) -> TrainState:
    """The state after a step, or the one before it; its key never changes."""
    return _where(alive, after.replace(key=None), state.replace(key=None)).replace(key=state.key)
