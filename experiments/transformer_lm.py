"""A transformer over characters, words, bytes or byte pairs, and what it writes through its cache.

    python -m experiments.transformer_lm                             # the manual of CPython
    python -m experiments.transformer_lm --data text --data-dir timemachine.txt
    python -m experiments.transformer_lm --data ptb --data-dir ptb.zip --unit word --context 64
    python -m experiments.transformer_lm --form llama --unit bpe     # rotary, RMS norm, gated

Characters are those of `char_lm` and words those of `word_lm` and `ngram`, splits as well, so that
perplexities compare; of bytes and byte pairs, which leave nothing out, bits a byte do. Vaswani et
al. 2017, arXiv:1706.03762; Radford et al. 2019.
"""

import dataclasses
import math
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import _units
from jaxdl import cli, data, decode, models, objectives, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    unit: Literal["char", "word", "byte", "bpe"] = "char"  # what it reads and predicts
    vocab_size: int = 10_000  # words, reserved ones included, or bytes and pairs
    form: Literal["gpt2", "llama"] = "gpt2"  # of the blocks
    layers: int = 4  # one above the other
    dim: int = 128  # width
    heads: int = 4  # of the attention
    context: int = 128  # units that are read at once
    dropout: float = 0.1
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon for matrices, and Adam for the rest
    schedule: Literal["cosine", "stable"] = "cosine"  # to zero; or constant, zero in the last fifth
    learning_rate: float = 1e-3  # of Adam, after a warm-up; Muon's is ten times that
    weight_decay: float = 0.1  # of the kernels
    z_loss: float = 0.0  # weight of the squared log-normalizer, 1e-4 in PaLM
    epochs: int = 5  # passes over the text
    batch_size: int = 32  # windows per step
    accumulate: int = 1  # parts of a batch that are taken one after the other
    prompt: str = "time traveller"  # what samples begin with
    temperature: float = 0.5  # of samples; 0 takes the most probable unit
    seed: int = 0  # of the weights and the samples
    smoke: bool = False  # a few seconds: little text, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/transformer_lm/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


LLAMA: dict[str, Any] = {
    "norm": "rms", "activation": "swiglu", "rotary": 10_000.0, "use_bias": False,
}  # fmt: skip


def make_optimizer(config: Config, steps: int) -> optax.GradientTransformation:
    warmup = max(1, steps // 20)

    def schedule(rate: float) -> Any:
        if config.schedule == "cosine":
            cosine = max(1, steps - warmup)
            return optim.warmup_cosine_decay(rate, warmup_steps=warmup, cosine_steps=cosine)
        decay = max(1, steps // 5)
        stable = max(0, steps - warmup - decay)
        return optim.warmup_stable_decay(
            rate, warmup_steps=warmup, stable_steps=stable, decay_steps=decay
        )

    rate, decay = schedule(config.learning_rate), config.weight_decay
    if config.optimizer == "adamw":
        return optax.adamw(rate, weight_decay=decay, mask=optim.weights_only)
    rest = ("embed/*", *(("positions",) if config.form == "gpt2" else ()))
    return optim.muon(
        schedule(10 * config.learning_rate),
        adam_learning_rate=rate,
        adam=rest,
        stacked=("stack/*",),
        weight_decay=decay,
    )


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, layers=2, dim=16, heads=2, context=32, epochs=1)
    units, T = _units.read(config, config.prompt), config.context
    splits = {name: data.text.windows(ids, T) for name, ids in units.ids.items()}
    prompt = jnp.asarray(units.prompt)
    if not 0 < len(prompt) < T:
        raise ValueError(f"a prompt needs 1 to {T - 1} {config.unit}s, got {len(prompt)}")
    model = models.Transformer(
        len(units.codec),
        context=T,
        dim=config.dim,
        num_layers=config.layers,
        num_heads=config.heads,
        dropout=config.dropout,
        **(LLAMA if config.form == "llama" else {}),
    )
    steps = data.num_steps(len(splits["train"]), config.batch_size, config.epochs)
    objective = objectives.language_model(model, z_loss=config.z_loss)
    tx = make_optimizer(config, steps)
    trainer = train.make(objective, tx, clip_norm=1.0, accumulate=config.accumulate)

    @jax.jit
    def write_some(params: Any) -> jax.Array:
        first: Any = model.apply(
            {"params": params}, prompt[None], model.initial_state(1), train=False
        )
        logits, cache = first
        ids, _ = decode.generate(
            models.token_step(model, params),
            cache,
            logits[:, -1],
            jax.random.key(config.seed),
            T - len(prompt),
            temperature=config.temperature,
        )
        return ids[0]

    with runs.open(
        config, name="transformer_lm", out=config.out, resume=config.resume, data=splits
    ) as run:
        read_ids = {name: len(ids) for name, ids in units.ids.items()}
        run.note(f"{read_ids['train']} {config.unit}s to train on, {len(units.codec)} different")
        units.codec.save(run.folder / "vocabulary.json")
        result = train.fit(
            trainer,
            splits["train"],
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={name: split for name, split in splits.items() if name != "train"},
            run=run,
        )
        written = units.write(np.asarray(write_some(result.state.params)))
        run.note(f"{config.prompt}|{written}")
        run.figure("curves", plots.curves(result.history))
        count = sum(leaf.size for leaf in jax.tree.leaves(result.state.params))
        final = train.evaluate(trainer, result.state, splits["test"], config.batch_size)
        numbers = {**train.scalars(final, "test/"), "parameters": float(count)}
        if config.unit in ("byte", "bpe"):
            nats = numbers["test/loss"] * read_ids["test"] / units.num_bytes["test"]
            numbers["test/bits_per_byte"] = nats / math.log(2)
        return run.finish(numbers)


if __name__ == "__main__":
    cli.run(main, Config)
