"""How fast every kind of program is on this device, and what share of its peaks that is.

    python -m experiments.benchmark                              # quick, below 3 minutes on a CPU
    python -m experiments.benchmark --suite full --precisions float32 bfloat16
    python -m experiments.benchmark --workloads lenet gru_lm --devices 1 2 4
    python -m jaxdl.bench compare A/report.json B/report.json    # what became faster or slower

Seconds are medians with the 95 % interval of the median, compilation apart. The share is of the
roofline: the seconds that the measured peaks allow at least, over those it took; operations are
those of products and convolutions, bytes are XLA's estimate, so programs with inner loops or
without products show little. A fixed probe runs before and after every measurement: where it does
not take equally long the machine is called noisy, and a comparison allows for it. Time to the
target is a LeNet on digits to 97 %, median of studies.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import optax

from experiments import workloads
from jaxdl import bench, cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    suite: Literal["quick", "full"] = "quick"  # small batches without ResNet-50, or all of it
    workloads: tuple[str, ...] = ()  # only these; all of the suite if none is named
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32",)  # of training steps
    devices: tuple[int, ...] = (1,)  # how many, for training steps
    batch_size: int = 0  # of every workload; 0 takes each one's own
    repeats: int = 10  # numbers taken of each
    studies: int = 3  # training runs to the target, of which the median counts; 0 leaves it out
    smoke: bool = False  # a few seconds: three workloads, small
    out: pathlib.Path | None = None  # run folder; runs/benchmark/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    unknown = set(config.workloads) - set(workloads.WORKLOADS)
    if unknown:
        raise ValueError(
            f"no workload {sorted(unknown)}; there are {', '.join(workloads.WORKLOADS)}"
        )
    if config.repeats < 1 or config.batch_size < 0 or config.studies < 0:
        raise ValueError("repeats must be at least 1, batch_size and studies at least 0")
    names = config.workloads or tuple(workloads.WORKLOADS)
    if config.suite == "quick" and not config.workloads:
        names = tuple(name for name in names if name != "resnet50")
    if config.smoke:
        names = config.workloads or ("linear", "ranking", "gaussian")
    repeats = 3 if config.smoke else config.repeats
    with runs.open(config, name="benchmark", out=config.out) as run:
        small: Any = {"sizes": (256,), "megabytes": 8, "repeats": 2} if config.smoke else {}
        peaks = bench.measure_peaks(dtypes=tuple({"float32", *config.precisions}), **small)
        run.note(describe(peaks))
        rows, probe = [], bench.make_probe(256, 1) if config.smoke else bench.make_probe()
        for done, name in enumerate(names):
            run.progress(done, len(names), name)
            for precision, devices in variants(config, name):
                rows.append(row(config, name, precision, devices, peaks, repeats, probe))
                run.note(sentence(rows[-1]))
        bench.write_report(run.folder / "report.json", rows, runs.environment())
        points = {r.name: (r.flops / r.bytes, r.flops / r.timing.median) for r in rows if r.flops}
        run.figure("roofline", plots.roofline(points, peaks.flops["float32"], peaks.bytes))
        noisy = sum(r.timing.noisy for r in rows)
        if noisy:
            run.note(f"{noisy} of {len(rows)} are noisy: their medians are known to 5 % or worse")
        if (drift := bench.drift(rows)) > bench.NOISY:
            run.note(f"a noisy machine: one probe took up to {1 + drift:.2f} times as long")
        numbers = {f"{r.name}/{r.precision}/{r.devices}/{r.unit}_per_s": r.rate for r in rows}
        if config.studies:
            target = 0.5 if config.smoke else 0.97
            numbers["seconds_to_target"] = seconds_to_target(config.studies, target)
            run.note(
                f"LeNet on digits to {target}: {numbers['seconds_to_target']:.2f} s of training"
            )
        return run.finish({**numbers, "noisy": float(noisy), "drift": drift})


def variants(config: Config, name: str) -> list[tuple[str, int]]:
    """Precisions and numbers of devices a workload is run at."""
    if not workloads.WORKLOADS[name].trains:
        return [("float32", 1)]
    return [(precision, devices) for precision in config.precisions for devices in config.devices]


def row(
    config: Config,
    name: str,
    precision: str,
    devices: int,
    peaks: bench.Peaks,
    repeats: int,
    probe: Callable[[], float],
) -> bench.Row:
    """Builds one workload and measures it between two probes."""
    workload = workloads.WORKLOADS[name]
    batch = config.batch_size or (workload.large if config.suite == "full" else workload.batch)
    if config.smoke:
        batch = min(batch, 32)
    work = workload.build(batch, precision, devices)
    program, slowest, before = work.program, probe(), bench.energy_joules()
    timing = bench.measure(work.call, repeats=repeats)
    used = bench.energy_joules()
    slowest = max(slowest, probe())
    calls = (repeats + 1) * timing.calls + 1  # with those that warmed up
    limit = peaks.limit(program.flops / devices, program.xla_bytes / devices, precision)
    return bench.Row(
        name,
        timing.seconds,
        work.items,
        unit=work.unit,
        precision=precision,
        batch=batch,
        devices=devices,
        flops=program.flops,
        bytes=program.xla_bytes,
        peak_bytes=program.peak_bytes,
        compile_seconds=program.trace_seconds + program.compile_seconds,
        share=limit / timing.median,
        joules=math.nan if before is None or used is None else (used - before) / calls,
        probe=slowest,
    )


def describe(peaks: bench.Peaks) -> str:
    """One line of what the device can do at best."""
    products = ", ".join(f"{dtype} {n / 1e9:,.0f} GFLOP/s" for dtype, n in peaks.flops.items())
    memory, host = peaks.bytes / 1e9, peaks.host_to_device / 1e9
    return f"{products}, memory {memory:.1f} GB/s, from the host {host:.1f} GB/s"


def sentence(row: bench.Row) -> str:
    """One line of a workload."""
    low, high = (row.items / seconds for seconds in reversed(row.timing.interval))
    joules = "" if math.isnan(row.joules) else f", {row.joules:.3g} J"
    return (
        f"{row.name:10} {row.precision:8} batch {row.batch:7} on {row.devices}: {row.rate:11,.0f} "
        f"[{low:,.0f}, {high:,.0f}] {row.unit}/s, {row.share:4.0%} of the roof, "
        f"{row.peak_bytes / 1e6:,.0f} MB, compiled in {row.compile_seconds:.1f} s{joules}"
    )


def seconds_to_target(studies: int, target: float) -> float:
    """Median seconds of training until LeNet reads so many of the held-out digits."""
    splits = data.load("digits")
    objective = objectives.supervised(
        models.LeNet(10),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    trainer = train.make(objective, optax.adam(1e-3))
    columns, steps = splits["train"].columns, data.num_batches(len(splits["train"]), 128)
    example = next(data.batches(splits["train"], 1))

    def fresh(seed: int) -> train.TrainState:
        return trainer.init(jax.random.key(seed), example)

    @jax.jit
    def epoch(state: train.TrainState, columns: Any) -> train.TrainState:
        def body(_: Any, state: train.TrainState) -> train.TrainState:
            batch = data.resident_batch(columns, state.step, batch_size=128, seed=0)
            return trainer.step(state, batch)[0]

        return jax.lax.fori_loop(0, steps, body, state)

    def accuracy(state: train.TrainState) -> float:
        return train.scalars(train.evaluate(trainer, state, splits["test"]))["accuracy"]

    accuracy(epoch(fresh(0), columns))  # compiled before the clock runs
    return bench.median_seconds(
        bench.time_to_target(
            lambda state: epoch(state, columns),
            accuracy,
            [fresh(seed) for seed in range(studies)],
            target=target,
            max_rounds=60,
        )
    )


if __name__ == "__main__":
    cli.run(main, Config)
