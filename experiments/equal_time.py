"""Language models given the same seconds of a processor: n-grams, RNN, GRU, LSTM, transformer.

    python -m experiments.equal_time                                  # the manual of CPython
    python -m experiments.equal_time --data text --data-dir timemachine.txt
    python -m experiments.equal_time --data ptb --data-dir ptb.zip --unit word --cpu-seconds 120

The networks read the same windows, each from nothing, by Adam with a warm-up and a cosine to zero
over as many steps as fit in the budget: seconds of CPU of the training steps, all cores added up,
without compilation. A network's rate is the best of two on validation text (the last tenth of the
training text, or PTB's own) after a quarter of the budget, an n-gram's smoothing that of `ngram`.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from experiments import _units, ngram
from jaxdl import classical, cli, data, models, nn, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    unit: Literal["char", "word"] = "char"  # what is read and predicted
    vocab_size: int = 10_000  # words, reserved ones included
    cpu_seconds: float = 60.0  # of training each network, all cores added up
    hidden_size: int = 256  # of the recurrent layer, and of its embedding
    dim: int = 128  # width of the transformer
    layers: int = 4  # of the transformer
    context: int = 64  # units of a window
    batch_size: int = 32  # windows per step
    learning_rates: tuple[float, float] = (1e-3, 4e-3)  # of Adam, of which each takes its better
    seed: int = 0  # of the weights and the order of the windows
    smoke: bool = False  # a few seconds: little text, narrow networks
    out: pathlib.Path | None = None  # run folder; runs/equal_time/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


CELLS: dict[str, nn.Cell] = {"RNN": nn.RNNCell(), "GRU": nn.GRUCell(), "LSTM": nn.LSTMCell()}
BLOCKS = 10  # parts of a training, after each of which it is evaluated


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(
            config, hidden_size=16, dim=16, layers=1, context=16, cpu_seconds=0.4
        )
    if jax.process_count() > 1:
        raise ValueError("a budget of seconds is one process's; there are several")
    units = _units.read(config)
    ids = _units.with_validation(units.ids)
    splits = {name: data.text.windows(some, config.context) for name, some in ids.items()}
    V = len(units.codec)
    networks: dict[str, Any] = {
        name: models.LanguageModel(
            V, cell, hidden_size=config.hidden_size, embed_dim=config.hidden_size, tied=True
        )
        for name, cell in CELLS.items()
    }
    networks["transformer"] = models.Transformer(
        V, context=config.context, dim=config.dim, num_layers=config.layers, num_heads=4
    )
    with runs.open(
        config, name="equal_time", out=config.out, resume=config.resume, data=splits
    ) as run:
        results: dict[str, float] = {}
        chosen = ngram.best_smoothing(ids["train"], ids["validation"], V)
        for order in (1, 2, 3):
            model = classical.fit_ngram(ids["train"], V, order=order, smoothing=chosen[:order])
            for name in ("validation", "test"):
                results[f"{order}-gram/{name}/perplexity"] = model.perplexity(ids[name], order)
        shown: dict[str, Any] = {}
        for name, model in networks.items():
            budgeted = Budgeted(model, splits, config)
            seconds = budgeted.seconds_per_step(run.folder / f"{name}.json")
            rates: dict[float, float] = {}
            for rate in config.learning_rates:
                steps = max(BLOCKS, int(config.cpu_seconds / 4 / seconds))
                _, rows = budgeted.train(rate, steps, run.part(f"{name}-{rate}"))
                rates[rate] = rows[-1]["validation/perplexity"]
            rate = min(rates, key=lambda rate: rates[rate])
            steps = max(BLOCKS, int(config.cpu_seconds / seconds))
            state, rows = budgeted.train(rate, steps, run.part(name))
            results[f"{name}/validation/perplexity"] = rows[-1]["validation/perplexity"]
            results[f"{name}/test/perplexity"] = budgeted.perplexity(state, "test")
            results |= {f"{name}/learning_rate": rate, f"{name}/steps": float(steps)}
            shown[name] = [[{**row, "CPU seconds": row["steps"] * seconds} for row in rows]]
        figure = plots.side_by_side(shown, "validation/perplexity", x="CPU seconds", log=True)
        run.figure("perplexity", figure)
        return run.finish(results)


class Budgeted:
    """The training of one network by a number of steps that is only known when it runs."""

    def __init__(self, model: Any, splits: dict[str, data.Dataset], config: Config) -> None:
        self.objective = objectives.language_model(model)
        self.splits, self.config = splits, config
        self.columns = jax.device_put(dict(splits["train"].columns))
        self.advance: Callable[..., Any] = jax.jit(self._advance, donate_argnums=0)
        self.evaluated = self.trainer(0.0, 1)

    def trainer(self, rate: Any, total: Any) -> train.Trainer:
        def schedule(step: jax.Array) -> jax.Array:
            share = step / total
            return rate * jnp.minimum(20 * share, 1) * 0.5 * (1 + jnp.cos(jnp.pi * share))

        return train.make(self.objective, optax.adam(schedule), clip_norm=1.0)

    def first(self) -> train.TrainState:
        batch = data.host_batch(self.splits["train"], 0, batch_size=self.config.batch_size)
        return self.evaluated.init(jax.random.key(self.config.seed), batch)

    def _advance(self, state: Any, stop: Any, rate: Any, total: Any, columns: Any) -> Any:
        trainer = self.trainer(rate, total)

        def step(_: Any, state: Any) -> Any:
            size, seed = self.config.batch_size, self.config.seed
            batch = data.resident_batch(columns, state.step, batch_size=size, seed=seed)
            return trainer.step(state, batch)[0]

        return jax.lax.fori_loop(state.step, stop, step, state)

    def seconds_per_step(self, file: pathlib.Path) -> float:
        """Seconds of CPU of a step, measured once a run: one that goes on takes as many steps."""
        if file.exists():
            return float(json.loads(file.read_text()))
        state, steps, taken = self.first(), 1, 0.0
        while taken < min(2.0, self.config.cpu_seconds / 8):
            stop = state.step + steps
            if steps == 1:  # compiles
                state = jax.block_until_ready(self.advance(state, stop, 1e-4, 1e6, self.columns))
            else:
                began = time.process_time()
                state = jax.block_until_ready(self.advance(state, stop, 1e-4, 1e6, self.columns))
                taken = time.process_time() - began
            steps *= 2
        seconds = taken / (steps // 2)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(seconds))
        part.replace(file)
        return seconds

    def train(self, rate: float, steps: int, run: Any) -> tuple[Any, list[dict[str, float]]]:
        def block(state: Any, k: int) -> tuple[Any, dict[str, float]]:
            stop = steps * (k + 1) // BLOCKS
            state = self.advance(state, stop, rate, float(steps), self.columns)
            row = {"steps": float(stop)}
            return state, {**row, "validation/perplexity": self.perplexity(state, "validation")}

        return train.run_blocks(block, self.first(), BLOCKS, run=run)

    def perplexity(self, state: Any, name: str) -> float:
        found = train.evaluate(self.evaluated, state, self.splits[name])
        return float(found["perplexity"].compute())


if __name__ == "__main__":
    cli.run(main, Config)
