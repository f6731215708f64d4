"""Loss against compute: transformers of five sizes, and the power law of the best of them.

    python -m experiments.power_law                                   # the manual of CPython
    python -m experiments.power_law --data text --data-dir timemachine.txt --flops 1e12

Each size is trained at a constant rate until it has used the same operations (those of its
products, `bench.count_flops`) and is evaluated on validation text along the way. The frontier is
what the best size of each budget reaches; log loss = a - b log compute is fitted to it for every
seed, and the exponent b is given with the 95 % interval over seeds. What no model can predict is
not taken off the loss, so b holds for this range alone. Kaplan et al. 2020, arXiv:2001.08361.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import numpy as np
import optax
from scipy import stats

from experiments import _units
from jaxdl import bench, cli, data, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    unit: Literal["char", "word", "byte"] = "char"  # what is read and predicted
    vocab_size: int = 10_000  # words, reserved ones included
    flops: float = 3e11  # operations that each size is trained with
    context: int = 64  # units that are read at once
    batch_size: int = 32  # windows per step
    learning_rate: float = 4e-3  # of the narrowest; a wider one takes it by the root of the widths
    seeds: int = 3  # trainings of each size
    smoke: bool = False  # a few seconds: little text, two sizes
    out: pathlib.Path | None = None  # run folder; runs/power_law/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


SIZES: tuple[tuple[int, int], ...] = (
    (16, 1),
    (32, 2),
    (64, 2),
    (96, 3),
    (128, 4),
)  # width, layers
POINTS = 24  # of compute, at equal ratios, at which a run is evaluated
LEAST = 1 / 64  # of the operations: where the frontier is looked at first


def main(config: Config) -> dict[str, float]:
    sizes = SIZES
    if config.smoke:
        config, sizes = dataclasses.replace(config, flops=1e9, seeds=2, context=16), SIZES[:2]
    if config.seeds < 2:
        raise ValueError(f"an interval needs 2 seeds or more, got {config.seeds}")
    units = _units.read(config)
    ids = _units.with_validation(units.ids)
    splits = {name: data.text.windows(some, config.context) for name, some in ids.items()}
    V = len(units.codec)
    grid = config.flops * np.geomspace(LEAST, 1, POINTS)
    losses = np.full((config.seeds, len(sizes), POINTS), np.inf)
    results: dict[str, float] = {}
    with runs.open(
        config, name="power_law", out=config.out, resume=config.resume, data=splits
    ) as run:
        for place, (dim, layers) in enumerate(sizes):
            model = models.Transformer(
                V, context=config.context, dim=dim, num_layers=layers, num_heads=dim // 16
            )
            rate = config.learning_rate * (sizes[0][0] / dim) ** 0.5
            schedule = optax.warmup_constant_schedule(0.0, rate, 50)
            trainer = train.make(
                objectives.language_model(model), optax.adam(schedule), clip_norm=1.0
            )
            batch = data.host_batch(splits["train"], 0, batch_size=config.batch_size)
            shape = jax.eval_shape(trainer.init, jax.random.key(0), batch)
            a_step = bench.count_flops(trainer.step, shape, batch)
            stops = np.unique(np.maximum(1, (grid / a_step).astype(int)))
            count = sum(leaf.size for leaf in jax.tree.leaves(shape.params))
            name = f"{count:,} parameters"
            run.note(f"{name}: {a_step / 1e9:.3g} GFLOP a step, {stops[-1]} steps")
            trained = training(trainer, splits, config.batch_size)
            for seed in range(config.seeds):
                rows = trained(stops, seed, run.part(f"{count}-{seed}"))
                reached = np.array([row["validation/loss"] for row in rows])
                losses[seed, place] = np.interp(
                    np.log(grid), np.log(stops * a_step), reached, left=np.inf
                )
            results[f"{count}/loss"] = float(losses[:, place, -1].mean())
        fitted = [power(grid, losses[seed].min(axis=0)) for seed in range(config.seeds)]
        slopes = np.array([slope for slope, _ in fitted])
        half = stats.t.ppf(0.975, config.seeds - 1) * slopes.std(ddof=1) / config.seeds**0.5
        results |= {"exponent": float(slopes.mean()), "exponent/interval": float(half)}
        results["best/loss"] = float(losses.min(axis=1)[:, -1].mean())
        curves = {f"{n} of {dim}": losses[:, i].mean(0) for i, (dim, n) in enumerate(sizes)}
        line = np.exp(np.mean([c for _, c in fitted]) - slopes.mean() * np.log(grid))
        label = f"{line[-1] * config.flops ** slopes.mean():.3g} C^-{slopes.mean():.3f}"
        run.figure("loss", plots.power_law(grid, curves, line, label=label))
        run.note(f"loss falls as compute^-{slopes.mean():.4f} (± {half:.4f})")
        return run.finish(results)


def training(trainer: train.Trainer, splits: dict[str, data.Dataset], batch_size: int) -> Any:
    """A function of the steps, the seed and a run: the loss on validation text after each step."""
    columns = jax.device_put(dict(splits["train"].columns))

    @jax.jit
    def advance(state: Any, stop: Any, seed: Any, columns: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            batch = data.resident_batch(columns, state.step, batch_size=batch_size, seed=seed)
            return trainer.step(state, batch)[0]

        return jax.lax.fori_loop(state.step, stop, step, state)

    def trained(stops: np.ndarray, seed: int, run: Any) -> list[dict[str, float]]:
        def block(state: Any, k: int) -> tuple[Any, dict[str, float]]:
            state = advance(state, stops[k], seed, columns)
            found = train.evaluate(trainer, state, splits["validation"])["loss"].compute()
            return state, {"steps": float(stops[k]), "validation/loss": float(found)}

        batch = data.host_batch(splits["train"], 0, batch_size=batch_size)
        first = trainer.init(jax.random.key(seed), batch)
        return train.run_blocks(block, first, len(stops), run=run)[1]

    return trained


def power(compute: np.ndarray, loss: np.ndarray) -> tuple[float, float]:
    """b and a of log loss = a - b log compute, by least squares."""
    slope, offset = np.polyfit(np.log(compute), np.log(loss), 1)
    return -float(slope), float(offset)


if __name__ == "__main__":
    cli.run(main, Config)
