"""LSTM over words, the published small recipe: two layers of 200, truncated back-propagation.

    python -m experiments.word_lm                                 # the manual of CPython
    python -m experiments.word_lm --data ptb --data-dir DIR       # Penn Treebank (Mikolov)

Published perplexity on Penn Treebank after all 13 epochs (TensorFlow): 119 valid, 114.5 test.

Zaremba et al., Recurrent neural network regularization, 2014, sec. 4.1. They add up the loss of the
20 steps of a window; here it is a mean, so their rate is multiplied and their clip divided by 20.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jaxdl import cli, data, decode, models, objectives, plots, runs, train

SIZES = {"small": models.LSTMSmall, "medium": models.LSTMMedium, "large": models.LSTMLarge}
PUBLISHED = {"small": 114.5, "medium": 82.7, "large": 78.4}  # test perplexity after all epochs


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text", "ptb"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text, zip or folder of PTB
    size: Literal["small", "medium", "large"] = "small"  # of the model
    vocab_size: int = 10_000  # the most frequent words, reserved ones included
    epochs: int = 13  # passes over the text
    full_epochs: int = 4  # at the full rate, which then halves with every epoch
    batch_size: int = 20  # streams read side by side
    num_steps: int = 20  # words a gradient looks back
    learning_rate: float = 1.0  # for the loss added up over num_steps
    clip_norm: float = 5.0  # likewise
    seed: int = 0  # of the weights and the samples
    smoke: bool = False  # a few seconds: little text, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/word_lm/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    # Text: split by lines before anything is cut out of it; every line ends with <eos>.
    texts = data.text.joined(data.load(config.data, config.data_dir))
    words = {name: data.text.words(text, end_of_line="<eos>") for name, text in texts.items()}
    if config.smoke:
        words = {name: some[:1500] for name, some in words.items()}
    vocab_size = 200 if config.smoke else config.vocab_size
    reserved = ("<unk>", "<eos>")
    vocabulary = data.text.Vocabulary.build(words["train"], max_size=vocab_size, reserved=reserved)
    B, T = config.batch_size, config.num_steps
    splits = {name: data.text.streams(vocabulary.encode(w), T, B) for name, w in words.items()}
    unknown = {name: vocabulary.count_unknown(w) + w.count("<unk>") for name, w in words.items()}
    epochs = min(config.epochs, 1) if config.smoke else config.epochs

    # Model and optimizer; the recurrent state is part of the state of the run.
    model = SIZES[config.size](vocab_size=len(vocabulary))
    if config.smoke:
        model = model.clone(hidden_size=16, embed_dim=16)
    per_epoch = data.num_batches(len(splits["train"]), B)

    def rate(step: jax.Array) -> jax.Array:
        halvings = jnp.maximum(step // per_epoch + 1 - config.full_epochs, 0)
        return config.learning_rate * T * 0.5**halvings

    objective = objectives.language_model(model, stateful=True)
    trainer = train.make(objective, optax.sgd(rate), clip_norm=config.clip_norm / T)
    held_out = {name: split for name, split in splits.items() if name != "train"}
    first_batch = next(data.batches(splits["train"], B))

    @jax.jit
    def write_some(params: Any, start: jax.Array) -> jax.Array:
        step = models.token_step(model, params)
        carry, logits = step(model.initial_state(1), start)
        key = jax.random.key(config.seed)
        return decode.generate(step, carry, logits, key, 40, temperature=0.7)[0][0]

    with runs.open(
        config, name="word_lm", out=config.out, resume=config.resume, data=splits
    ) as run:
        for name, some in words.items():
            run.note(f"{name}: {len(some)} words, {unknown[name]} of them unknown")
        vocabulary.save(run.folder / "vocabulary.json")

        def show(state: train.TrainState, row: dict[str, float]) -> None:
            ids = write_some(state.params, jnp.array([vocabulary.id("<eos>")]))
            run.note(" ".join(vocabulary.decode(ids)))

        result = train.fit(
            trainer,
            splits["train"],
            trainer.init(jax.random.key(config.seed), first_batch),
            epochs=epochs,
            batch_size=B,
            seed=None,  # streams are read in their order
            held_out=held_out,
            after_epoch=show,
            run=run,
        )
        run.figure("curves", plots.curves(result.history))
        if config.data == "ptb":
            run.note(f"published test perplexity {PUBLISHED[config.size]}")
        last = result.history[-1]
        return run.finish({name: last[name] for name in last if name.endswith("/perplexity")})


if __name__ == "__main__":
    cli.run(main, Config)
