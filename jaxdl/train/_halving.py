"""Search that spends its epochs where they pay: random members, and successive halving."""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import ParameterSampler

from jaxdl import data, ops
from jaxdl.train._blocks import run_blocks
from jaxdl.train._fit import Recorder
from jaxdl.train._members import (
    Member,
    OneMember,
    devices_for,
    over_devices,
    prepare,
    rows_of,
)
from jaxdl.train._steps import checked_classes
from jaxdl.train._sweep import SweepResult, refuse_test_set


@dataclasses.dataclass(frozen=True)
class Rung:
    """One round of successive halving: who trained, from which epoch to which."""

    members: np.ndarray  # indices into the columns of hyperparameters
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class HalvingResult:
    """What successive halving leaves behind; M members, E epochs.

    A number is NaN from the epoch on at which its member had dropped out, or diverged.
    """

    hypers: dict[str, np.ndarray]  # [M] each
    history: dict[str, np.ndarray]  # [M, E] each: "train/loss", "validation/accuracy", ...
    rungs: tuple[Rung, ...]
    survivors: SweepResult  # the members of the last rung, trained for all E epochs
    best: dict[str, Any]  # the setting with the best mean over its survivors
    score: float  # that mean
    compile_seconds: float
    run_seconds: float

    @property
    def cost(self) -> int:
        """Epochs trained, those of all members together."""
        return sum(len(rung.members) * (rung.stop - rung.start) for rung in self.rungs)

    @property
    def grid_cost(self) -> int:
        """Epochs that all members to the end would have taken."""
        return len(next(iter(self.hypers.values()))) * self.rungs[-1].stop

    def __str__(self) -> str:
        widths = " -> ".join(str(len(rung.members)) for rung in self.rungs)
        setting = ", ".join(f"{name} {value:g}" for name, value in self.best.items())
        return (
            f"{widths} members, {self.cost} epochs where the grid takes {self.grid_cost} "
            f"({self.cost / self.grid_cost:.0%}); best {self.score:.4g} at {setting}"
        )


def random_grid(members: int, *, seed: int = 0, **axes: Any) -> dict[str, np.ndarray]:
    """Columns of members drawn at random, as scikit-learn's `ParameterSampler` draws them.

    >>> from scipy import stats
    >>> columns = random_grid(3, learning_rate=stats.loguniform(1e-3, 1.0), momentum=[0.0, 0.9])
    >>> {name: column.shape for name, column in columns.items()}
    {'learning_rate': (3,), 'momentum': (3,)}

    Args:
        members: how many are drawn.
        seed: of the draw.
        axes: a distribution of `scipy.stats`, or a sequence of values, for each name. Of sequences
            alone no combination is drawn twice.
    Raises: ValueError for fewer than one member, no axes, or an axis without values.
    Reference: Bergstra & Bengio, Random search for hyper-parameter optimization, JMLR 2012.
    """
    lists = {name: axis if hasattr(axis, "rvs") else list(axis) for name, axis in axes.items()}
    empty = [name for name, axis in lists.items() if isinstance(axis, list) and not axis]
    if members < 1 or not axes or empty:
        raise ValueError(f"need a member, and axes with values; got {members}, {list(axes)}")
    counts = [len(axis) if isinstance(axis, list) else members for axis in lists.values()]
    drawn = list(ParameterSampler(lists, min(members, math.prod(counts)), random_state=seed))
    return {name: np.array([row[name] for row in drawn]) for name in axes}


def rung_sizes(settings: int, epochs: int, factor: int) -> list[tuple[int, int]]:
    """`(settings, last epoch)` of each rung: the share 1 / factor goes on, for factor times longer.

    >>> rung_sizes(27, 9, 3)
    [(27, 1), (9, 3), (3, 9)]
    """
    steps = 0
    while factor ** (steps + 1) <= min(settings, epochs):
        steps += 1
    return [
        (-(-settings // factor**k), round(epochs / factor ** (steps - k))) for k in range(steps + 1)
    ]


def successive_halving(
    member: Member,
    hypers: Mapping[str, ArrayLike],
    split: data.Dataset,
    *,
    epochs: int,
    held_out: Mapping[str, data.Dataset],
    choose_by: str = "validation/accuracy",
    mode: Literal["min", "max"] = "max",
    factor: int = 3,
    by: Iterable[str] | None = None,
    batch_size: int | None = None,
    seed: int | None = 0,
    eval_batch_size: int = 1000,
    vectorize: ops.Vectorize = "auto",
    run: Recorder | None = None,
) -> HalvingResult:
    """Trains all members for few epochs, the best of them for more, and so on to the end.

    Who drops out frees his place: each rung is a program of its own width. Who stays goes on where
    he stood, so that a survivor's numbers are those of `sweep`, bit for bit under "map". The rule
    is rank alone: a member that learns late (a small rate under a long schedule) can drop out,
    which is the price of the epochs saved.

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
    >>> rates = train.grid(rate=[0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.0])
    >>> print(successive_halving(member, rates, split, epochs=9, held_out={"validation": split},
    ...     choose_by="validation/loss", mode="min", batch_size=2))
    9 -> 3 -> 1 members, 21 epochs where the grid takes 81 (26%); best 1 at rate 0.5

    Args:
        member, hypers, split, epochs, batch_size, seed, eval_batch_size, vectorize: as for
            `make_sweep`.
        held_out: splits by name, the one that `choose_by` is of among them.
        choose_by: a number of validation data; the better in `mode` goes on, NaN never does.
        factor: a share 1 / factor goes on, and has then trained factor times longer.
        by: names that make a setting; members that agree in them (seeds) stay or go together, by
            their mean. Without it each member is a setting.
        run: each rung is saved and continued as a part of it, "rung0", "rung1", ...
    Raises: ValueError where `make_sweep` raises it, for a factor below 2, for names that are none,
        where every member diverged, and for a number of the test set.
    Reference: Jamieson & Talwalkar, Non-stochastic best arm identification and hyperparameter
        optimization, AISTATS 2016.
    """
    refuse_test_set(choose_by)
    if factor < 2:
        raise ValueError(f"factor must be at least 2, got {factor}")
    columns, one, shared = prepare(
        member,
        hypers,
        split,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        held_out=held_out,
        eval_batch_size=eval_batch_size,
    )
    names = tuple(columns if by is None else by)
    if unknown := [name for name in names if name not in columns]:
        raise ValueError(f"by: no column is called {', '.join(unknown)}")
    settings, group = np.unique(
        np.stack([columns[name].astype(np.float64) for name in names], axis=1),
        axis=0,
        return_inverse=True,
    )
    vectorize = ops.choose_vectorize(vectorize, jax.local_devices()[0].platform)
    checked = functools.partial(checked_classes, split, held_out)
    program = _Rungs(one, shared, vectorize, choose_by, checked)
    members, start, began = np.arange(len(group)), 0, time.perf_counter()
    carry: Any = None
    history: dict[str, np.ndarray] = {}
    rungs: list[Rung] = []
    for number, (width, stop) in enumerate(rung_sizes(len(settings), epochs, factor)):
        if rungs:
            ranked = _ranked(history[choose_by][:, start - 1], group, members, mode)
            stay = np.isin(group[members], ranked[:width])
            carry = rows_of(carry, np.flatnonzero(stay))
            members = members[stay]
        part = None if run is None else run.part(f"rung{number}")  # type: ignore[attr-defined]
        chosen = {name: column[members] for name, column in columns.items()}
        carry = program.train(chosen, carry, start, stop, part)
        for name, values in carry[2].items():
            whole = history.setdefault(name, np.full((len(group), epochs), np.nan, values.dtype))
            whole[members, start:stop] = np.asarray(values)[:, start:stop]
        rungs.append(Rung(members, start, stop))
        start = stop
    states, alive, kept = carry
    seconds = time.perf_counter() - began
    survivors = SweepResult(
        hypers=chosen,
        states=states,
        history={name: np.asarray(values) for name, values in kept.items()},
        diverged=~np.asarray(alive),
        vectorize=vectorize,
        compile_seconds=program.compile_seconds,
        run_seconds=seconds - program.compile_seconds,
    )
    final = history[choose_by][:, -1]
    winner = _ranked(final, group, members, mode)[0]
    score = float(final[group == winner].mean())
    if math.isnan(score):
        raise ValueError(f"every survivor diverged; there is no best of {len(members)}")
    best = {name: columns[name][group == winner][0].item() for name in names}
    return HalvingResult(
        hypers=columns,
        history=history,
        rungs=tuple(rungs),
        survivors=survivors,
        best=best,
        score=score,
        compile_seconds=program.compile_seconds,
        run_seconds=survivors.run_seconds,
    )


def _ranked(
    values: np.ndarray, group: np.ndarray, members: np.ndarray, mode: Literal["min", "max"]
) -> np.ndarray:
    """The settings of some members from the best mean to the worst; with a NaN in it it is last."""
    settings = np.unique(group[members])
    means = np.array([values[group == setting].mean() for setting in settings])
    means = np.where(np.isnan(means), np.inf, means * {"max": -1, "min": 1}[mode])
    return settings[np.argsort(means, kind="stable")]


class _Rungs:
    """Programs for members of any number, each compiled when a rung of that width begins."""

    def __init__(
        self,
        one: OneMember,
        shared: tuple,
        vectorize: ops.Vectorize,
        choose_by: str,
        checked: Callable[[], contextlib.AbstractContextManager],
    ):
        self.one, self.shared, self.vectorize, self.choose_by = one, shared, vectorize, choose_by
        self.checked = checked  # looks at the labels once the objective is traced
        self.compile_seconds = 0.0

    def train(
        self, columns: dict[str, np.ndarray], carry: Any, start: int, stop: int, run: Any
    ) -> Any:
        """Members from epoch `start` to `stop`; without a carry from their first state."""
        began = time.perf_counter()
        devices = devices_for(len(next(iter(columns.values()))))
        if carry is None:
            with self.checked():
                first = over_devices(
                    self.one.first, devices, self.vectorize, (columns,), self.shared
                )
            self.compile_seconds += time.perf_counter() - began
            carry = first.compiled((columns,), self.shared)
            if self.choose_by not in carry[2]:
                raise ValueError(
                    f"no number {self.choose_by!r} is kept; there are {', '.join(carry[2])}"
                )
            began = time.perf_counter()
        advance = over_devices(
            self.one.advance,
            devices,
            self.vectorize,
            (columns, carry),
            (0, 0, *self.shared),
            (1,),
        )
        self.compile_seconds += time.perf_counter() - began
        per_block = stop - start if run is None else 1  # with a run each epoch can be saved

        def block(carry: Any, k: int) -> tuple[Any, None]:
            begin = start + k * per_block
            limits = (begin, begin + per_block)
            return advance.compiled((columns, carry), (*limits, *self.shared)), None

        carry, _ = run_blocks(block, carry, (stop - start) // per_block, run=run)
        return jax.block_until_ready(carry)
