"""Sweeps: many small trainings as one compiled program.

def member(hyper):  # of scalars; the same lines train one run alone
    return train.make(objective, optim.momentum(hyper["learning_rate"], hyper["momentum"]))

grid = train.grid(learning_rate=[0.01, 0.1], momentum=[0.0, 0.9], seed=range(5))
result = train.sweep(member, grid, splits["train"], epochs=10, batch_size=32)
"""

import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxdl import data, ops
from jaxdl.train._blocks import run_blocks
from jaxdl.train._fit import Recorder
from jaxdl.train._members import Member, check, devices_for, over_devices, prepare
from jaxdl.train._state import TrainState
from jaxdl.train._steps import checked_classes


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep leaves behind; M members, E epochs.

    A member whose loss or parameters stopped being finite keeps the state before that step, and its
    numbers are NaN from that epoch on; nothing it did touches the others.
    """

    hypers: dict[str, np.ndarray]  # [M] each
    states: TrainState  # leaves [M, ...]
    history: dict[str, np.ndarray]  # [M, E] each: "train/loss", "test/accuracy", ...
    diverged: np.ndarray  # [M] bool
    vectorize: str  # "map" or "vmap"
    compile_seconds: float
    run_seconds: float  # of the epochs of all members, those before a kill too

    def __len__(self) -> int:
        return len(self.diverged)

    def member(self, index: int) -> tuple[dict[str, Any], TrainState]:
        """Hyperparameters and state of one member, to be evaluated or trained on."""
        device = jax.local_devices()[0]
        state = jax.tree.map(lambda x: jax.device_put(_row(x, index), device), self.states)
        return {name: values[index].item() for name, values in self.hypers.items()}, state

    def rows(self, index: int) -> list[dict[str, float]]:
        """The history of one member as `fit` returns it, a row per epoch."""
        return [
            {"epoch": e + 1.0, **{name: float(v[index, e]) for name, v in self.history.items()}}
            for e in range(next(iter(self.history.values())).shape[1])
        ]

    def final(self, name: str) -> np.ndarray:
        """A number after the last epoch, `[M]`; NaN where the member diverged."""
        return self._kept(name)[:, -1]

    def best(self, name: str, mode: Literal["min", "max"] = "max") -> int:
        """The member with the best final number.

        Raises: ValueError if every member diverged, and for a number of the test set, "test/...":
            whoever chooses by it can no longer report it.
        """
        refuse_test_set(name)
        values = self.final(name) * {"max": 1, "min": -1}[mode]
        if np.isnan(values).all():
            raise ValueError(f"all {len(self)} members diverged; there is no best one")
        return int(np.nanargmax(values))

    def summary(self, name: str, by: Iterable[str] = ()) -> list[dict[str, float]]:
        """Mean and spread of a final number over the members that agree in the names of `by`.

        Returns: a row for each group: the values of `by`, "members", "diverged", and over those
            that did not diverge "mean", "std" (of the sample, NaN for one), "min" and "max".
        """
        by, values = tuple(by), self.final(name)
        keys = [tuple(self.hypers[n][i].item() for n in by) for i in range(len(self))]
        rows = []
        for key in dict.fromkeys(keys):
            chosen = np.array([k == key for k in keys])
            kept = values[chosen & ~self.diverged].astype(np.float64)
            row = {**dict(zip(by, key, strict=True)), "members": int(chosen.sum())}
            row["diverged"] = int(self.diverged[chosen].sum())
            row["mean"] = kept.mean() if len(kept) else np.nan
            row["std"] = kept.std(ddof=1) if len(kept) > 1 else np.nan
            row["min"] = kept.min(initial=np.inf) if len(kept) else np.nan
            row["max"] = kept.max(initial=-np.inf) if len(kept) else np.nan
            rows.append(row)
        return rows

    def epochs_to(
        self, name: str, target: float, mode: Literal["min", "max"] = "max"
    ) -> np.ndarray:
        """Epochs until a number first reached the target, `[M]`; inf where it never did."""
        values = self._kept(name)
        reached = values >= target if mode == "max" else values <= target
        return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)

    def _kept(self, name: str) -> np.ndarray:
        if name not in self.history:
            raise ValueError(f"no number {name!r} was kept; there are {', '.join(self.history)}")
        return self.history[name]


def refuse_test_set(name: str) -> None:
    """Raises ValueError for the name of a number of the test set, however it is written."""
    if "test" in re.split(r"[\W_]+", name.lower()):
        raise ValueError(f"{name!r}: choose by validation data, the test set is for reporting")


def grid(**axes: Iterable[Any]) -> dict[str, np.ndarray]:
    """Every combination of the axes as columns, the last axis fastest; the members of a sweep.

    >>> grid(learning_rate=[0.1, 1.0], seed=[0, 1])["learning_rate"].tolist()
    [0.1, 0.1, 1.0, 1.0]
    """
    axes = {name: list(values) for name, values in axes.items()}
    if empty := [name for name, values in axes.items() if not values]:
        raise ValueError(f"no values for {', '.join(empty)}")
    columns = zip(*itertools.product(*axes.values()), strict=True)
    return {name: np.array(column) for name, column in zip(axes, columns, strict=True)}


def make_sweep(
    member: Member,
    hypers: Mapping[str, ArrayLike],
    split: data.Dataset,
    *,
    epochs: int,
    batch_size: int | None = None,
    seed: int | None = 0,
    held_out: Mapping[str, data.Dataset] | None = None,
    eval_batch_size: int = 1000,
    after_epoch: Callable[[TrainState, dict[str, jax.Array]], TrainState] | None = None,
    vectorize: ops.Vectorize = "auto",
    at_once: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Callable[..., SweepResult]:
    """Compiles the program that trains one member for each row of `hypers`.

    A member alone, `fit(member(hyper), split, state, seed=...)`, takes the same steps on the same
    batches; results agree to rounding, and bit for bit with what "map" makes of that member alone.

    The rule of "auto": on a CPU the members are spread over its XLA devices and each device trains
    its own one after the other ("map": small products stay in the cache, and no member waits for
    one that takes more steps); elsewhere all members take a step together ("vmap", spread
    likewise), which fills an accelerator that one member cannot. A CPU has one XLA device unless
    `jax.config.update("jax_num_cpu_devices", os.cpu_count())` came before everything else.
    A sweep is compiled once, `fit` once for each member. XLA's convolutions are slow inside a
    program on a CPU: use `fit` for those.

    `sweep` has the example.

    Args:
        member: from scalars, by name, to the trainer; called inside the program. Its first state is
            `trainer.init(jax.random.key(seed), batch)`.
        hypers: columns of one length M, or others of the same names, dtypes and length. Two names
            mean something here, beside what `member` makes of them: "seed" makes the first state
            and orders the data of each member (without it all share `seed`, and under "vmap" also
            the work of gathering it); "batch_size" sets the batches of each member: all are padded
            to the largest and masked, and the small ones take more steps an epoch.
        split: the training data, resident on every device.
        epochs: at least 1.
        batch_size: of all members, unless `hypers` has it.
        seed: of the order of the data; None keeps the order of the split.
        held_out: splits by name, {"test": splits["test"]} for numbers "test/...", evaluated after
            every epoch by the trainer's `evaluate` in batches of `eval_batch_size`.
        after_epoch: `(state, numbers) -> state`, inside the program (`optim.report_plateau`).
        vectorize: "auto", "map" or "vmap".
        at_once: members that are held in the devices' memory; the others wait on the host, one
            round after the other, all by one program. The numbers are those of all at once, bit for
            bit under "map".
        devices: that the members are spread over; all of all processes if not given. The numbers
            do not depend on them under "map", and to rounding under "vmap". Each process is given
            all of the result.
    Returns: a function `(hypers, run=None)`; called again with other values it compiles nothing.
        A `run` with checkpoints saves all members between epochs and continues them; rounds are
        parts of it, "round0", "round1", ...
    Raises: ValueError for columns that differ in length, a batch size given twice or not at all, or
        one out of range, and for fewer members at once than one; DataError for labels that are none
        of the classes.
    """
    if at_once is not None and at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    columns, one, shared = prepare(
        member,
        hypers,
        split,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        held_out=held_out or {},
        eval_batch_size=eval_batch_size,
        after_epoch=after_epoch,
    )
    vectorize = ops.choose_vectorize(vectorize, jax.local_devices()[0].platform)
    num_members = len(next(iter(columns.values())))
    width = num_members if at_once is None else min(at_once, num_members)
    devices = devices_for(width, devices)
    start_time = time.perf_counter()
    few = {name: column[:width] for name, column in columns.items()}
    with checked_classes(split, held_out):
        first = over_devices(one.first, devices, vectorize, (few,), shared)
    carry = jax.eval_shape(first.function, few, *shared)
    advance = over_devices(one.advance, devices, vectorize, (few, carry), (0, 0, *shared), (1,))
    compile_seconds = time.perf_counter() - start_time
    form = {name: (column.shape, column.dtype) for name, column in columns.items()}

    def train_round(columns: Mapping[str, np.ndarray], run: Recorder | None) -> tuple[Any, float]:
        # Without a run all epochs are one call; with one each epoch can be saved.
        per_block = epochs if run is None else 1

        def block(timed: Any, k: int) -> tuple[Any, None]:
            (carry, seconds), started, begin = timed, time.perf_counter(), k * per_block
            limits = (begin, begin + per_block)
            carry = jax.block_until_ready(advance.compiled((columns, carry), (*limits, *shared)))
            return (carry, seconds + (time.perf_counter() - started)), None

        # Seconds, one for each member to lie where it does, are saved with them: those of a run
        # that went on are of all its parts.
        carry = first.compiled((columns,), shared)
        timed = carry, carry[1] * jnp.float32(0)
        (carry, seconds), _ = run_blocks(block, timed, epochs // per_block, run=run)
        return carry, float(np.asarray(seconds)[0])

    def train_members(hypers: Mapping[str, ArrayLike], run: Recorder | None = None) -> SweepResult:
        columns = {name: np.asarray(values) for name, values in hypers.items()}
        given = {name: (column.shape, column.dtype) for name, column in columns.items()}
        if given != form:
            raise ValueError(f"this sweep was compiled for hypers {form}, got {given}")
        check(columns, batch_size, len(split), epochs)
        if batch_size is None and columns["batch_size"].max() > one.rows:
            raise ValueError(f"this sweep was compiled for batches of up to {one.rows} examples")
        if width == num_members:
            (states, alive, history), seconds = train_round(columns, run)
        else:
            rounds, seconds = [], 0.0
            for number, begin in enumerate(range(0, num_members, width)):
                part = None if run is None else run.part(f"round{number}")  # type: ignore[attr-defined]
                # The last round is filled up by copies of the last member.
                members = np.minimum(np.arange(begin, begin + width), num_members - 1)
                chosen = {name: column[members] for name, column in columns.items()}
                carry, took = train_round(chosen, part)
                rounds.append(_on_host(carry))
                seconds += took
            states, alive, history = jax.tree.map(
                lambda *parts: _joined(parts)[:num_members], *rounds
            )
        return SweepResult(
            hypers=columns,
            states=states,
            history={name: np.asarray(values) for name, values in history.items()},
            diverged=~np.asarray(alive),
            vectorize=vectorize,
            compile_seconds=compile_seconds,
            run_seconds=seconds,
        )

    return train_members


def _row(x: Any, index: int) -> Any:
    """A row of an array that may lie over devices, from the device that has it."""
    if isinstance(x, np.ndarray):
        return x[index]
    if x.is_fully_replicated:
        return x.addressable_data(0)[index]
    for shard in x.addressable_shards:
        rows = range(len(x))[shard.index[0]]
        if range(len(x))[index] in rows:
            return shard.data[range(len(x))[index] - rows.start]
    raise ValueError(f"member {index} lies in another process")


def _on_host(tree: Any) -> Any:
    """Out of the devices' memory; keys, which NumPy has no type for, stay."""
    return jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x), tree
    )


def _joined(parts: Sequence[Any]) -> Any:
    numpy = isinstance(parts[0], np.ndarray)
    return np.concatenate(parts) if numpy else jnp.concatenate(parts)


def sweep(
    member: Member,
    hypers: Mapping[str, ArrayLike],
    split: data.Dataset,
    *,
    run: Recorder | None = None,
    **options: Any,
) -> SweepResult:
    """Trains one member for each row of `hypers`, all inside one program.

    `make_sweep(member, hypers, split, **options)(hypers, run)`: see there for what is computed, the
    options and the errors. `compile_seconds` of the result is what the compilation took.

    >>> import optax
    >>> from jaxdl import train
    >>> from jaxdl.metrics import Mean
    >>> from jaxdl.objectives import Aux, Objective
    >>> def squares(mean, model_state, batch, key, *, train):
    ...     return Mean.from_values((mean - batch["x"]) ** 2, batch["mask"]), Aux({}, model_state)
    >>> objective = Objective(squares, init=lambda key, batch: (jnp.array(0.0), {}))
    >>> def member(hyper):
    ...     return train.make(objective, optax.sgd(hyper["rate"]))
    >>> split = data.Dataset({"x": np.array([1.0, 3.0], np.float32)})
    >>> result = sweep(member, grid(rate=[0.0, 0.25, 0.5]), split, epochs=2, batch_size=2)
    >>> result.final("train/loss"), result.best("train/loss", mode="min")
    (array([5., 2., 1.], dtype=float32), 2)
    >>> again = make_sweep(member, {"rate": [0.25, 0.5]}, split, epochs=1, batch_size=2)
    >>> again({"rate": [0.0, 0.1]}).states.params  # other rates, nothing compiled anew
    Array([0. , 0.4], dtype=float32)
    """
    return make_sweep(member, hypers, split, **options)(hypers, run)
