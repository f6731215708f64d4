"""Population based training: members that fall behind go on from those ahead, at other rates."""

import dataclasses
import functools
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from jaxdl import data, ops
from jaxdl.train._blocks import run_blocks
from jaxdl.train._fit import Recorder
from jaxdl.train._members import Member, OneMember, everywhere, mesh_of, on_mesh, prepare
from jaxdl.train._steps import checked_classes
from jaxdl.train._sweep import SweepResult, refuse_test_set


@dataclasses.dataclass(frozen=True)
class PopulationResult:
    """What a population leaves behind; M members, R rounds, E epochs.

    Member m of `history` is a place: from a round on it may go on from another member's state.
    """

    settings: dict[str, np.ndarray]  # [M, R] each: the hyperparameters of every round
    parents: np.ndarray  # [M, R] whose state a member began the round with
    final: SweepResult  # with the hyperparameters of the last round
    best: int  # the member with the best number at the end
    score: float  # that number

    @property
    def cost(self) -> int:
        """Epochs trained, those of all members together."""
        members, epochs = next(iter(self.final.history.values())).shape
        return members * epochs

    @property
    def tried(self) -> int:
        """Settings that were tried, each for a round at least."""
        rows = np.stack([v.astype(float).T.ravel() for v in self.settings.values()], axis=1)
        return len(np.unique(rows, axis=0))

    @property
    def grid_cost(self) -> int:
        """Epochs that as many settings, each trained alone to the end, would have taken."""
        return self.tried * next(iter(self.final.history.values())).shape[1]

    def schedule(self, index: int | None = None) -> dict[str, np.ndarray]:
        """The hyperparameters `[R]` that made a member what it is, its ancestors' included."""
        place, rounds = self.best if index is None else index, self.parents.shape[1]
        places = np.zeros(rounds, int)
        for number in reversed(range(rounds)):
            places[number] = place
            place = self.parents[place, number]
        return {name: v[places, np.arange(rounds)] for name, v in self.settings.items()}

    def __str__(self) -> str:
        last = ", ".join(f"{name} {v[self.best]:g}" for name, v in self.final.hypers.items())
        return (
            f"{len(self.parents)} members, {self.tried} settings in {self.cost} epochs where a "
            f"grid of them takes {self.grid_cost} ({self.cost / self.grid_cost:.0%}); "
            f"best {self.score:.4g} at {last} in the end"
        )


def exploit(key: jax.Array, scores: ArrayLike, share: float = 0.2) -> jax.Array:
    """Whose state each member goes on from: the worst from one of the best, the rest from theirs.

    >>> exploit(jax.random.key(0), jnp.array([0.3, jnp.nan, 0.9, 0.5]), share=0.25)
    Array([0, 2, 2, 3], dtype=int32)

    Args:
        key: of the draw among the best.
        scores: `[M]`, the greater the better; NaN is worst.
        share: of the members that are replaced, and of those that replace them; one at least.
    Returns: integers `[M]`.
    Raises: ValueError for fewer than two members, or a share outside (0, 0.5].
    Reference: Jaderberg et al. 2017, arXiv:1711.09846, sec. 4.1.1 (truncation selection).
    """
    scores = jnp.asarray(scores)
    if scores.ndim != 1 or len(scores) < 2 or not 0 < share <= 0.5:
        raise ValueError(f"need scores [M] of two or more and share in (0, 0.5], got {share}")
    count = max(1, int(share * len(scores)))
    order = jnp.argsort(jnp.where(jnp.isnan(scores), jnp.inf, -scores), stable=True)
    chosen = order[jax.random.randint(key, (count,), 0, count)]
    members = jnp.arange(len(scores), dtype=jnp.int32)
    return members.at[order[-count:]].set(chosen.astype(jnp.int32))


def explore(
    key: jax.Array, values: ArrayLike, *, factors: tuple[float, float] = (0.8, 1.2)
) -> jax.Array:
    """Each value times one of two factors, drawn at random.

    >>> moved = explore(jax.random.key(0), jnp.ones(100), factors=(0.5, 2.0))
    >>> sorted({float(x) for x in moved})
    [0.5, 2.0]

    Reference: Jaderberg et al. 2017, arXiv:1711.09846, sec. 4.1.1 (perturbation).
    """
    values = jnp.asarray(values)
    up = jax.random.bernoulli(key, shape=values.shape)
    return values * jnp.where(up, max(factors), min(factors)).astype(values.dtype)


def population(
    member: Member,
    hypers: Mapping[str, ArrayLike],
    split: data.Dataset,
    *,
    epochs: int,
    held_out: Mapping[str, data.Dataset],
    choose_by: str = "validation/accuracy",
    mode: Literal["min", "max"] = "max",
    every: int = 1,
    share: float = 0.2,
    factors: tuple[float, float] = (0.8, 1.2),
    explored: Iterable[str] | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    batch_size: int | None = None,
    seed: int | None = 0,
    eval_batch_size: int = 1000,
    vectorize: ops.Vectorize = "auto",
    run: Recorder | None = None,
) -> PopulationResult:
    """Trains all members; after every round the worst take a good one's state and vary its setting.

    One program trains, ranks, copies and varies. What round r draws is a function of the seed and r
    alone, so a run that was killed goes on to the same end. Diverged members are the worst, and
    begin anew from one that did not. Each place keeps its own key and order of the data. So the
    best member's setting is a schedule, `schedule()` of the result, not one setting.

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
    >>> result = population(member, {"rate": [0.001, 0.01, 0.1]}, split, epochs=3,
    ...     held_out={"validation": split}, choose_by="validation/loss", mode="min", batch_size=2)
    >>> result.parents.tolist()  # the slowest goes on from the fastest, then the next slowest
    [[0, 2, 0], [1, 1, 0], [2, 2, 2]]
    >>> result.cost, result.grid_cost
    (9, 15)

    Args:
        member, hypers, split, epochs, batch_size, seed, eval_batch_size, vectorize: as for
            `make_sweep`; `hypers` are those of the first round.
        held_out: splits by name, the one that `choose_by` is of among them.
        choose_by: a number of validation data, the better in `mode`.
        every: epochs of a round; `epochs` is a multiple of it. After the last round nobody changes.
        share: of the members that are replaced after a round, see `exploit`.
        factors: by one of which a copied setting is varied, see `explore`.
        explored: names that are varied; all floating columns if not given.
        limits: by name, low and high ends that no value is varied beyond.
        run: as in `sweep`; each round is saved.
    Raises: ValueError where `make_sweep` raises it, and for a number of the test set, names that
        are no floating column, epochs that are no rounds, one member, or where all diverged.
    Reference: Jaderberg et al., Population based training of neural networks, 2017.
    """
    refuse_test_set(choose_by)
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
    names = _explored(columns, explored, limits)
    if every < 1 or epochs % every:
        raise ValueError(f"epochs must be a multiple of every, got {epochs} and {every}")
    vectorize = ops.choose_vectorize(vectorize, jax.local_devices()[0].platform)
    rounds = _Rounds(
        one, vectorize, choose_by, mode, every, share, factors, names, dict(limits or {})
    )
    began = time.perf_counter()
    with checked_classes(split, held_out):
        first, advance = rounds.compile(columns, shared)
    compile_seconds = time.perf_counter() - began
    count = epochs // every
    per_block = count if run is None else 1  # with a run each round can be saved

    def block(carry: Any, k: int) -> tuple[Any, None]:
        # One program at a time: each exchanges data between the devices.
        limits = (k * per_block, (k + 1) * per_block)
        return jax.block_until_ready(advance(carry, *limits, *shared)), None

    began = time.perf_counter()
    carry, _ = run_blocks(block, first(columns, *shared), count // per_block, run=run)
    if jax.process_count() > 1:
        carry = everywhere(carry, len(next(iter(columns.values()))))
    final = SweepResult(
        hypers={name: np.asarray(values) for name, values in carry["hypers"].items()},
        states=carry["states"],
        history={name: np.asarray(values) for name, values in carry["history"].items()},
        diverged=~np.asarray(carry["alive"]),
        vectorize=vectorize,
        compile_seconds=compile_seconds,
        run_seconds=time.perf_counter() - began,
    )
    best = final.best(choose_by, mode)
    settings = {name: np.asarray(values) for name, values in carry["settings"].items()}
    score = float(final.final(choose_by)[best])
    return PopulationResult(settings, np.asarray(carry["parents"]), final, best, score)


def _explored(
    columns: Mapping[str, np.ndarray], explored: Iterable[str] | None, limits: Any
) -> tuple[str, ...]:
    """The names of the columns that are varied."""
    floating = [name for name, c in columns.items() if np.issubdtype(c.dtype, np.floating)]
    names = tuple(floating if explored is None else explored)
    unknown = [name for name in (*names, *(limits or {})) if name not in floating]
    if unknown or not names:
        raise ValueError(f"no floating column is called {', '.join(unknown)}; {floating} are")
    if len(next(iter(columns.values()))) < 2:
        raise ValueError("a population needs two members or more, got 1")
    return names


def _evenly(members: int) -> list[jax.Device]:
    """Devices that train as many members each, the same number of every process."""
    by_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    for each in range(min(len(some) for some in by_process.values()), 0, -1):
        if members % (each * len(by_process)) == 0:
            return [device for some in by_process.values() for device in some[:each]]
    raise ValueError(f"{members} members do not spread evenly over {len(by_process)} processes")


@dataclasses.dataclass(frozen=True)
class _Rounds:
    """The programs of a population; the fields are the arguments of `population`."""

    one: OneMember
    vectorize: ops.Vectorize
    choose_by: str
    mode: str
    every: int
    share: float
    factors: tuple[float, float]
    explored: tuple[str, ...]
    limits: dict[str, tuple[float, float]]

    def compile(self, columns: dict[str, np.ndarray], shared: tuple) -> tuple[Any, Any]:
        """`first(columns, *shared)` and `advance(carry, start, stop, *shared)`, by rounds."""
        members = len(next(iter(columns.values())))
        mesh = mesh_of(_evenly(members))
        spread = NamedSharding(mesh, PartitionSpec("member"))
        begin = jax.jit(functools.partial(self._first, mesh), out_shardings=spread)
        first = begin.lower(columns, *shared).compile()
        carry = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            first.out_info,
            first.output_shardings,
        )
        advance = jax.jit(
            functools.partial(self._advance, mesh), donate_argnums=0, out_shardings=spread
        )
        return first, advance.lower(carry, 0, 0, *shared).compile()

    def _first(self, mesh: Mesh, columns: Any, *shared: Any) -> dict[str, Any]:
        states, alive, history = on_mesh(self.one.first, mesh, self.vectorize, (columns,), shared)
        if self.choose_by not in history:
            known = ", ".join(history)
            raise ValueError(f"no number {self.choose_by!r} is kept; there are {known}")

        def each_round(column: jax.Array) -> jax.Array:
            return jnp.repeat(column[:, None], self.one.epochs // self.every, axis=1)

        return {
            "hypers": columns,
            "states": states,
            "alive": alive,
            "history": history,
            "settings": jax.tree.map(each_round, columns),
            "parents": each_round(jnp.arange(len(alive), dtype=jnp.int32)),
        }

    def _advance(
        self, mesh: Mesh, carry: dict[str, Any], start: Any, stop: Any, *shared: Any
    ) -> dict[str, Any]:
        def one_round(number: jax.Array, carry: dict[str, Any]) -> dict[str, Any]:
            states, alive, history = on_mesh(
                self.one.advance,
                mesh,
                self.vectorize,
                (carry["hypers"], (carry["states"], carry["alive"], carry["history"])),
                (number * self.every, (number + 1) * self.every, *shared),
            )
            carry = {**carry, "states": states, "alive": alive, "history": history}
            last = (number + 1) * self.every == self.one.epochs
            return jax.lax.cond(last, lambda _, c: c, self._select, number, carry)

        return jax.lax.fori_loop(start, stop, one_round, carry)

    def _select(self, number: jax.Array, carry: dict[str, Any]) -> dict[str, Any]:
        """The population that begins the round after `number`."""
        key = jax.random.fold_in(jax.random.key(self.one.seed or 0), number)
        latest = carry["history"][self.choose_by][:, (number + 1) * self.every - 1]
        scores = latest if self.mode == "max" else -latest
        parents = exploit(key, scores, self.share)
        copied = parents != jnp.arange(len(parents))
        hypers = dict(carry["hypers"])
        for place, name in enumerate(self.explored, 1):
            low, high = self.limits.get(name, (-np.inf, np.inf))
            varied = explore(
                jax.random.fold_in(key, place), hypers[name][parents], factors=self.factors
            )
            hypers[name] = jnp.where(copied, jnp.clip(varied, low, high), hypers[name])
        states = carry["states"]
        taken = jax.tree.map(lambda x: x[parents], states.replace(key=None))
        taken = taken.replace(opt_state=self._injected(hypers, copied, taken.opt_state))
        after = number + 1
        return {
            **carry,
            "hypers": hypers,
            "states": taken.replace(key=states.key),
            "alive": carry["alive"][parents],
            "settings": {n: s.at[:, after].set(hypers[n]) for n, s in carry["settings"].items()},
            "parents": carry["parents"].at[:, after].set(parents),
        }

    def _injected(self, hypers: dict[str, jax.Array], copied: jax.Array, opt_state: Any) -> Any:
        """The state of an optimizer that keeps its rate (`optim.inject_rate`), with the new one."""
        key = jax.random.key(0)
        new = jax.vmap(lambda h: self.one.trainer(h).init(key, self.one.example).opt_state)(hypers)

        def take(path: Any, old: jax.Array, new: jax.Array) -> jax.Array:
            if not any(getattr(part, "name", None) == "hyperparams" for part in path):
                return old
            return jnp.where(copied.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return jax.tree_util.tree_map_with_path(take, opt_state, new)
