"""Periodic functions read in windows and carried on: recurrent networks beside a dense one.

    python -m experiments.forecasting --windows 8 32 128

The next value of two waves and some noise, from windows of several lengths, by RNN (tanh and ReLU),
GRU, LSTM and a perceptron of ReLUs; root mean squared error one step ahead on the part that was not
trained on, and of a forecast that is fed with its own values. Repeating the last value, and the
noise that nobody can foresee, stand beside them.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, nn, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    length: int = 2000  # values; the last quarter is held out
    periods: tuple[float, ...] = (25.0, 60.0)  # of the waves, in steps; amplitudes 1, 1/2, ...
    noise: float = 0.1  # standard deviation
    windows: tuple[int, ...] = (8, 32, 128)  # values that are read
    hidden: int = 32  # units
    epochs: int = 30  # passes over the windows
    ahead: int = 150  # steps of the forecast
    seed: int = 0  # of noise and weights
    smoke: bool = False  # a few seconds: one window, two networks, two epochs
    out: pathlib.Path | None = None  # run folder; runs/forecasting/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, length=600, windows=(8,), epochs=2, hidden=8, ahead=20)
    if min(config.windows, default=0) < 1 or max(config.windows) >= config.length // 4:
        raise ValueError(f"windows must lie in 1..{config.length // 4 - 1}, got {config.windows}")
    t = np.arange(config.length)
    clean = sum(np.sin(2 * np.pi * t / p) / (i + 1) for i, p in enumerate(config.periods))
    series = clean + config.noise * np.random.default_rng(config.seed).normal(size=len(t))
    series = series.astype(np.float32)
    cut = 3 * config.length // 4
    networks = {
        "RNN, tanh": models.SignalRNN(1, nn.RNNCell(), config.hidden),
        "RNN, ReLU": models.SignalRNN(1, nn.RNNCell("relu"), config.hidden),
        "GRU": models.SignalRNN(1, nn.GRUCell(), config.hidden),
        "LSTM": models.SignalRNN(1, nn.LSTMCell(), config.hidden),
        "windows, ReLU": models.MLP((config.hidden, config.hidden, 1)),
    }
    if config.smoke:
        networks = {name: networks[name] for name in ("GRU", "windows, ReLU")}
    results = {"noise/rmse": config.noise}
    results["last value/rmse"] = float(np.sqrt(np.mean(np.diff(series[cut:]) ** 2)))
    drawn: dict[str, np.ndarray] = {}
    with runs.open(config, name="forecasting", out=config.out, resume=config.resume) as run:
        for window in config.windows:
            windows = np.lib.stride_tricks.sliding_window_view(series, window + 1)
            columns = {"window": windows[:, :-1, None].copy(), "next": windows[:, -1].copy()}
            whole = data.Dataset(columns)
            first = cut - window  # the first window whose next value is held out
            for number, (name, network) in enumerate(networks.items(), 1):
                trainer = train.make(
                    objectives.supervised(
                        network,
                        lambda outputs, y: losses.squared_error(outputs[:, 0], y),
                        metrics={"rmse": rmse},
                        inputs="window",
                        targets="next",
                    ),
                    optax.adam(3e-3),
                    clip_norm=1.0,
                )
                result = train.fit(
                    trainer,
                    whole.take(slice(first)),
                    epochs=config.epochs,
                    batch_size=64,
                    seed=config.seed,
                    held_out={"test": whole.take(slice(first, None))},
                    run=run.part(f"w{window}-{number}"),
                )
                results[f"{window}/{name}/rmse"] = result.history[-1]["test/rmse"]
                ahead = carry_on(network, result.state.params, series[first:cut], config.ahead)
                miss = ahead - clean[cut : cut + config.ahead]
                results[f"{window}/{name}/forecast_rmse"] = float(np.sqrt(np.mean(miss**2)))
                drawn[f"{name}, window {window}"] = ahead
                run.note(f"window {window:4} {name:14} rmse {result.history[-1]['test/rmse']:.3f}")
        truth = clean[cut : cut + config.ahead]
        run.figure("forecasts", plots.forecasts(truth, drawn, columns=len(networks)))
        return run.finish(results)


def rmse(outputs: jax.Array, targets: jax.Array, mask: jax.Array) -> metrics.RootMeanSquaredError:
    """Of outputs `[B, 1]`."""
    return metrics.RootMeanSquaredError.from_batch(outputs[:, 0], targets, mask)


def carry_on(network: Any, params: Any, window: np.ndarray, steps: int) -> np.ndarray:
    """Values `[steps]` after a window, each read as if it had been observed."""

    @jax.jit
    def run(params, window):
        def step(window, _):
            value = network.apply({"params": params}, window[None, :, None], train=False)[0, 0]
            return jnp.append(window[1:], value), value

        return jax.lax.scan(step, window, length=steps)[1]

    return np.asarray(run(params, jnp.asarray(window)))


if __name__ == "__main__":
    cli.run(main, Config)
