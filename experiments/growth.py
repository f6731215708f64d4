"""How time and memory of a program grow with its size: ten times as large, at what cost?

    python -m experiments.growth               # batch, width, sequence, vocabulary, catalog

What should grow in proportion is the batch, the sequence and the vocabulary (its share of the
step); a dense layer's cost grows with the square of its width, and a catalog's with users times
items. Points above their line are where something is lost; below it, where the fixed part of a
call still counts.
"""

import dataclasses
import pathlib
from collections.abc import Callable

from experiments import workloads
from jaxdl import bench, cli, models, nn, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    factors: tuple[int, ...] = (1, 3, 10)  # of the smallest size, the first being 1
    repeats: int = 6  # numbers taken at each point
    smoke: bool = False  # a few seconds: two axes, twice the size
    out: pathlib.Path | None = None  # run folder; runs/growth/DATE-TIME if not given


def language(
    batch: int = 32, steps: int = 32, words: int = 1000, hidden: int = 128
) -> workloads.Work:
    return workloads.language_training(nn.GRUCell(), hidden, steps, words)(batch, "float32", 1)


def dense(batch: int = 128, width: int = 256) -> workloads.Work:
    return workloads.image_training(models.MLP((width, width, 10)), 28, 1)(batch, "float32", 1)


def catalog(items: int = 1000, users: int = 256) -> workloads.Work:
    return workloads.catalog_ranking(users, items, per_user=50)(64, "float32", 1)


# axis -> smallest size and what builds the program of a size
AXES: dict[str, tuple[int, Callable[[int], workloads.Work]]] = {
    "batch (MLP)": (128, lambda size: dense(batch=size)),
    "batch (GRU)": (32, lambda size: language(batch=size)),
    "width (MLP)": (256, lambda size: dense(width=size)),
    "sequence (GRU)": (32, lambda size: language(steps=size)),
    "vocabulary (GRU)": (1000, lambda size: language(words=size)),
    "items (ranking)": (1000, lambda size: catalog(items=size)),
    "users (ranking)": (256, lambda size: catalog(users=size)),
}


def main(config: Config) -> dict[str, float]:
    factors = (1, 2) if config.smoke else config.factors
    if factors[:1] != (1,) or min(factors) < 1 or config.repeats < 1:
        raise ValueError(
            f"factors must begin with 1 and repeats be at least 1, got {factors}, {config.repeats}"
        )
    axes = dict(list(AXES.items())[:2]) if config.smoke else AXES
    numbers, costs = {}, {}
    with runs.open(config, name="growth", out=config.out) as run:
        for done, (name, (least, build)) in enumerate(axes.items()):
            run.progress(done, len(axes), name)
            points = [point(build, least * factor, config.repeats) for factor in factors]
            size, seconds, memory = zip(*points, strict=True)
            columns = costs[name] = {"size": size, "seconds": seconds, "bytes": memory}
            for cost in ("seconds", "bytes"):
                numbers[f"{name}/{cost}"] = columns[cost][-1] / columns[cost][0]
            run.note(
                f"{name}: {least:,} takes {columns['seconds'][0] * 1e3:.2f} ms and "
                f"{columns['bytes'][0] / 1e6:.1f} MB; {factors[-1]} times that "
                f"{numbers[f'{name}/seconds']:.1f} times the time, "
                f"{numbers[f'{name}/bytes']:.1f} times the memory"
            )
        run.figure("growth", plots.growth(costs))
        return run.finish(numbers)


def point(build: Callable[[int], workloads.Work], size: int, repeats: int) -> tuple[float, ...]:
    """Size, seconds of a call and bytes of device memory."""
    work = build(size)
    timing = bench.measure(work.call, repeats=repeats)
    return size, timing.median, work.program.peak_bytes


if __name__ == "__main__":
    cli.run(main, Config)
