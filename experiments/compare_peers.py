"""The same work in jaxdl and in its peers: how many times faster, with spread, at equal results.

    python -m experiments.compare_peers                         # every row, some minutes
    python -m experiments.compare_peers --rows lenet gru_32
    JAXDL_DATA=FOLDER python -m experiments.compare_peers --rows word2vec     # on FOLDER/ptb

Every side runs in a process of its own, and the processes take turns. Each library runs as its
users run it: jaxdl with freed memory kept, as all its experiments do (`--same-malloc` gives the
peers the same, by environment variables). Rows whose packages are not installed are left out.
"""

import dataclasses
import importlib.util
import pathlib
import sys

from experiments import peers
from jaxdl import bench, cli, runs


@dataclasses.dataclass(frozen=True)
class Config:
    rows: tuple[str, ...] = ()  # only these; all if none is named
    repeats: int = 9  # rounds in which every side is timed once
    min_seconds: float = 0.1  # that a side is timed for at least in a round
    same_malloc: bool = False  # have the peers keep freed memory as well
    smoke: bool = False  # a few seconds: two rows, tiny
    out: pathlib.Path | None = None  # run folder; runs/compare_peers/DATE-TIME if not given


# What glibc reads at the start of a process, for libraries that do not ask for it themselves.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967295",
    "MALLOC_TRIM_THRESHOLD_": "34359738368",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
}


def main(config: Config) -> dict[str, float]:
    known = peers.rows()
    unknown = set(config.rows) - set(known)
    if unknown:
        raise ValueError(f"no row {sorted(unknown)}; there are {', '.join(known)}")
    if config.repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {config.repeats}")
    names = config.rows or (("evaluation", "gaussian") if config.smoke else tuple(known))
    numbers: dict[str, float] = {}
    with runs.open(config, name="compare_peers", out=config.out) as run:
        for done, name in enumerate(names):
            run.progress(done, len(names), name)
            missing = [p for p in known[name].packages if importlib.util.find_spec(p) is None]
            if missing:
                run.note(f"{name}: left out, {' and '.join(missing)} not installed")
                continue
            for peer, ratio, sentence in compare(config, name, known[name]):
                numbers[f"{name}/{peer}"] = ratio
                run.note(sentence)
        return run.finish(numbers)


def compare(config: Config, name: str, row: peers.Row) -> list[tuple[str, float, str]]:
    """Times the sides of a row in turns: each peer, the ratio to it, and a sentence."""
    command = [sys.executable, "-m", "experiments.peers", name]
    size = ["smoke"] if config.smoke else []
    sides = bench.alternate(
        {library: [*command, library, *size] for library in row.sides},
        repeats=2 if config.smoke else config.repeats,
        min_seconds=config.min_seconds,
        environment=MALLOC if config.same_malloc else None,
    )
    ours, found = sides["jaxdl"], []
    items, result = ours.facts["items"], ours.facts["result"]
    for peer, side in sides.items():
        if peer == "jaxdl":
            continue
        # sides may work through different numbers of items: compare seconds per item
        scaled = bench.Timing(tuple(s * items / side.facts["items"] for s in side.timing.seconds))
        ratio = bench.ratio(ours.timing, scaled)
        other = side.facts["result"]
        off = abs(result - other) / max(abs(other), 1e-12) if row.tolerance else 0.0
        same = "equal" if off <= row.tolerance else "DIFFERENT"
        shown = f"results {same} ({result:.5g}, {other:.5g})" if row.tolerance else "see the tests"
        noisy = " (noisy)" if ours.timing.noisy or scaled.noisy else ""
        found.append(
            (
                peer,
                ratio.median,
                f"{name}: {rounded(ours.timing.rate(items))} {row.unit}/s, {peer} "
                f"{rounded(scaled.rate(items))}: {ratio}{noisy}, {shown}",
            )
        )
    return found


def rounded(rate: float) -> str:
    """A rate to three places, large ones with every digit."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


if __name__ == "__main__":
    cli.run(main, Config)
