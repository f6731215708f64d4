"""Weak and strong scaling of a training step over the devices at hand.

    python -m experiments.scaling
    XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m experiments.scaling  # CPU cores

Strong scaling keeps the batch of the whole step and divides it over more devices; weak scaling
keeps the batch of each device. Efficiency is the rate per device against that of one device.
"""

import dataclasses
import pathlib
import statistics
import time
from typing import Literal

import jax
import numpy as np
import optax

from jaxdl import cli, data, losses, models, objectives, parallel, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    model: Literal["mlp", "lenet"] = "mlp"  # what is trained, on random images of 28x28
    batch_size: int = 1024  # examples per step on one device, and on all of them in strong scaling
    repeats: int = 20  # timed steps at each point, of which the median counts
    shard_above: int | None = None  # cut arrays of more elements over the devices; None copies all
    smoke: bool = False  # a few seconds: small batches, few repeats
    out: pathlib.Path | None = None  # run folder; runs/scaling/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    batch_size, repeats = (64, 3) if config.smoke else (config.batch_size, config.repeats)
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    counts = [n for n in (2**i for i in range(12)) if n <= jax.device_count()]
    with runs.open(config, name="scaling", out=config.out) as run:
        if len(counts) == 1:
            run.note("there is one device only; see the first lines of the file for more on a CPU")
        rates: dict[str, list[float]] = {"strong": [], "weak": []}
        for count in counts:
            for kind, rate_of in rates.items():
                size = batch_size if kind == "strong" else batch_size * count
                seconds = step_seconds(config, count, size, repeats)
                rate_of.append(size / seconds)
                efficiency = rate_of[-1] / rate_of[0] / count
                run.write(
                    count,
                    {
                        "devices": count,
                        f"{kind}/examples_per_s": rate_of[-1],
                        f"{kind}/efficiency": efficiency,
                    },
                )
        run.figure("scaling", plots.scaling(counts, rates))
        most = counts[-1]
        return run.finish(
            {"devices": most}
            | {f"{kind}_efficiency": rate[-1] / rate[0] / most for kind, rate in rates.items()}
        )


def step_seconds(config: Config, devices: int, batch_size: int, repeats: int) -> float:
    """Median seconds of a step on so many devices, compilation apart."""
    layout = parallel.Layout(
        parallel.make_mesh(devices=jax.devices()[:devices]), config.shard_above
    )
    layout.check_batch(batch_size)
    model = models.LeNet(10) if config.model == "lenet" else models.MLP((1024, 1024, 10))
    objective = objectives.supervised(
        model, losses.softmax_cross_entropy, preprocess=data.images.to_unit
    )
    trainer = train.make(objective, optax.sgd(0.01, momentum=0.9))
    rng = np.random.default_rng(0)
    columns = {
        "image": rng.integers(0, 256, (batch_size, 28, 28, 1), np.uint8),
        "label": rng.integers(0, 10, batch_size),
        "mask": np.ones(batch_size, bool),
    }
    batch = jax.device_put(columns, layout.batch)
    state = layout.put_state(trainer.init(jax.random.key(0), columns))
    step = jax.jit(trainer.step, donate_argnums=0, out_shardings=(layout.state(state), None))
    seconds = []
    for _ in range(repeats + 2):  # two to warm up
        start = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, batch))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


if __name__ == "__main__":
    cli.run(main, Config)
