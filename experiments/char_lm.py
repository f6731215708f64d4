"""RNN, GRU or LSTM over characters: memorizing ten thousand, or reading on in a held-out text.

    python -m experiments.char_lm                            # the manual of CPython
    python -m experiments.char_lm --data text --data-dir timemachine.txt
    python -m experiments.char_lm --data text --data-dir timemachine.txt --first 10000 \\
        --epochs 500 --optimizer sgd --learning-rate 1       # the book's recipe: memorizing

The book's recipe memorizes its 10,000 characters (published perplexity 1.0 to 1.5) and is lost on
the last tenth of the text, which is held out.
Samples are printed as it learns; at the end, how often greedy and beam search find the best two
characters of all that exhaustive search tries. Zhang et al., Dive into deep learning, sec. 9.5, 10.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, decode, models, nn, objectives, plots, runs, train

CELLS: dict[str, nn.Cell] = {
    "rnn": nn.RNNCell(),
    "gru": nn.GRUCell(),
    "gru_reset_before": nn.GRUCell(reset_after=False),
    "lstm": nn.LSTMCell(forget_bias=1.0),
}


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text
    first: int | None = None  # train on so many characters only; all by default
    cell: Literal["rnn", "gru", "gru_reset_before", "lstm"] = "gru"  # of the recurrent layers
    layers: int = 1  # one above the other
    hidden_size: int = 256  # of each layer
    optimizer: Literal["adam", "sgd"] = "adam"  # with a constant rate
    learning_rate: float = 3e-3  # 1 for sgd in the book
    epochs: int = 10  # passes over the text
    batch_size: int = 32  # streams read side by side
    num_steps: int = 35  # characters a gradient looks back
    # windows in the order of the text, which the state is carried through, or in any order
    sampling: Literal["sequential", "random"] = "sequential"
    clip_norm: float = 1.0  # greatest norm of the gradient
    ascii_only: bool = False  # the letters a-z alone, as in the book; others then cut words
    prompt: str = "time traveller"  # what samples begin with
    temperature: float = 0.5  # of samples; 0 takes the most probable character
    top_k: int | None = None  # samples come from the k most probable characters only
    seed: int = 0  # of the weights and the samples
    smoke: bool = False  # a few seconds: little text, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/char_lm/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def found_by_beams(
    model: models.LanguageModel, params: Any, prompts: jax.Array
) -> dict[str, float]:
    """How often the most probable next two characters, of all there are, are those a beam finds."""
    V = model.vocab_size
    prompts = prompts[: 131_072 // V**2]  # each takes V^2 carries
    if not len(prompts):
        return {}
    _, carry = model.apply({"params": params}, prompts[:, :-1], train=False)
    step, start = models.token_step(model, params), prompts[:, -1]
    options: Any = {"end_id": V, "carry_axis": 1}  # no character ends a text
    best = decode.exhaustive(step, carry, start, 2, vocab_size=V, num_best=1, **options).tokens
    shares = {}
    for size in (1, 2, 4):
        beams = decode.beam_search(step, carry, start, 2, beam_size=size, **options).tokens
        shares[f"beam_{size}/finds_best"] = float(jnp.mean((beams[:, :1] == best).all(-1)))
    return shares


def main(config: Config) -> dict[str, float]:
    # Text: split by lines before anything is cut out of it; letters, space and <unk>.
    texts = data.text.joined(data.load(config.data, config.data_dir))
    text = {
        name: data.text.letters(text, ascii_only=config.ascii_only) for name, text in texts.items()
    }
    text["train"] = text["train"][: 2000 if config.smoke else config.first]
    vocabulary = data.text.Vocabulary.build(
        data.text.characters(text["train"]), reserved=("<unk>",)
    )
    B, T = config.batch_size, config.num_steps
    splits = {name: data.text.streams(vocabulary.encode(t), T, B) for name, t in text.items()}
    learned = splits["train"]
    if config.sampling == "random":  # every window starts from nothing
        learned = data.text.windows(vocabulary.encode(text["train"]), T)
        learned = data.Dataset({**learned.columns, "start": np.ones(len(learned), bool)})
    epochs = min(config.epochs, 2) if config.smoke else config.epochs

    # Model and optimizer; the recurrent state is part of the state of the run.
    model = models.LanguageModel(
        len(vocabulary),
        CELLS[config.cell],
        hidden_size=16 if config.smoke else config.hidden_size,
        num_layers=config.layers,
    )
    make_optimizer = {"adam": optax.adam, "sgd": optax.sgd}[config.optimizer]
    trainer = train.make(
        objectives.language_model(model, stateful=True),
        make_optimizer(config.learning_rate),
        clip_norm=config.clip_norm,
    )

    def perplexity(state: train.TrainState, name: str) -> dict[str, float]:
        found = train.evaluate(trainer, state, splits[name], B)
        return {f"{name}/perplexity": float(found["perplexity"].compute())}

    @jax.jit
    def write_some(params: Any, prompt: jax.Array) -> jax.Array:
        warm_up: Any = model.apply({"params": params}, prompt[None], train=False)
        logits, carry = warm_up
        step = models.token_step(model, params)
        key = jax.random.key(config.seed)
        ids, _ = decode.generate(
            step,
            carry,
            logits[:, -1],
            key,
            60,
            temperature=config.temperature,
            top_k=config.top_k,
        )
        return ids[0]

    with runs.open(
        config, name="char_lm", out=config.out, resume=config.resume, data=splits
    ) as run:
        unknown = vocabulary.count_unknown(data.text.characters(text["test"]))
        run.note(f"{len(text['train'])} characters to train on, {len(vocabulary)} different")
        run.note(f"{len(text['test'])} held out, {unknown} of them unknown")
        vocabulary.save(run.folder / "vocabulary.json")
        prompt = jnp.asarray(vocabulary.encode(data.text.characters(config.prompt)))

        def show(state: train.TrainState, row: dict[str, float]) -> None:
            if row["epoch"] % max(1, epochs // 10) and row["epoch"] != epochs:
                return
            ids = write_some(state.params, prompt)
            run.note(f"{config.prompt}|{''.join(vocabulary.decode(ids))}")
            row |= perplexity(state, "test")

        result = train.fit(
            trainer,
            learned,
            trainer.init(jax.random.key(config.seed), next(data.batches(learned, B))),
            epochs=epochs,
            batch_size=B,
            seed=config.seed if config.sampling == "random" else None,  # streams keep their order
            after_epoch=show,
            run=run,
        )
        run.figure("curves", plots.curves(result.history))
        prompts = jnp.asarray(splits["test"]["tokens"][:32])
        # Of the training text again, now with the weights at rest.
        left = perplexity(result.state, "train") | perplexity(result.state, "test")
        return run.finish(left | found_by_beams(model, result.state.params, prompts))


if __name__ == "__main__":
    cli.run(main, Config)
