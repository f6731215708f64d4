"""Translation with and without attention: dates from English to French, or Tatoeba's sentences.

    python -m experiments.translation                                  # dates, letter by letter
    python -m experiments.translation --attention none                 # the same without
    python -m experiments.translation --model transformer --hidden-size 128 --learning-rate 1e-3
    python -m experiments.translation --data tatoeba --data-dir fra-eng.zip --limit 20000

Held-out pairs are translated greedily and by beam search; BLEU is sacrebleu's, "exact" is the share
of whole sentences that equal the reference, "d2l_bleu" the mean over sentences of the book's score,
for its tables only. Bahdanau et al. 2015, arXiv:1409.0473; Vaswani et al. 2017, arXiv:1706.03762.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, decode, metrics, models, nn, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["dates", "tatoeba"] = "dates"  # which pairs
    data_dir: pathlib.Path | None = None  # file or folder of Tatoeba's pairs
    limit: int | None = None  # use the first, shortest pairs only
    model: Literal["gru", "transformer"] = "gru"  # of encoder and decoder
    attention: Literal["additive", "dot", "none"] = "additive"  # score of the GRU's attention
    hidden_size: int = 64  # of the decoder, and of the encoder each way
    embed_dim: int = 32  # width of the embeddings; a transformer's are as wide as its layers
    layers: int = 2  # of each side of the transformer
    heads: int = 4  # of its attention
    dropout: float = 0.0  # of embeddings and outputs
    sampling: float = 0.0  # share of its own tokens that the decoder reads in training
    min_count: int = 2  # words seen less often are unknown
    length: int = 0  # tokens of a sentence with its end; 0 takes 36 for dates, 12 for sentences
    epochs: int = 12  # passes over the training pairs
    batch_size: int = 64  # pairs per step
    learning_rate: float = (
        5e-3  # of Adam, at the start of a cosine to zero (warmed up: transformer)
    )
    beam_size: int = 5  # of beam search
    penalty: Literal["power", "gnmt"] = "power"  # L^0.75, or ((5 + L) / 6)^0.6
    finished_only: bool = False  # the beam's result holds sentences that ended, and no other
    reset_after: bool = True  # the GRU's reset gate: after its product, or before, as in the papers
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: few pairs, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/translation/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    # Data: ids of both languages, ended by <eos>; what no training sentence had is <unk>.
    limit = 128 if config.smoke and config.data == "dates" else config.limit
    pairs = data.load(config.data, config.data_dir, limit)
    letters = config.data == "dates"
    tokenize, joint = (data.text.characters, "") if letters else (data.text.words, " ")
    source, target = (
        data.text.Vocabulary.build(
            [token for text in pairs["train"][side] for token in tokenize(text)],
            min_count=1 if letters else config.min_count,
            reserved=data.text.RESERVED,
        )
        for side in ("source", "target")
    )
    length = config.length or (36 if letters else 12)
    splits, counts = {}, {}
    for name, some in pairs.items():
        splits[name], counts[name] = data.text.encode_pairs(
            some, (source, target), tokenize, length, length
        )

    model = make_model(config, len(source), len(target))
    bos, eos = target.id(data.text.BOS), target.id(data.text.EOS)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs
    steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    warm_up = steps // 20 if config.model == "transformer" else 0
    first = 0.0 if warm_up else config.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(first, config.learning_rate, warm_up, steps)
    objective = objectives.translation(model, bos_id=bos, sampling=config.sampling)
    trainer = train.make(objective, optax.adam(schedule), clip_norm=1.0)

    @jax.jit
    def translate(params: Any, source: jax.Array) -> dict[str, jax.Array]:
        step, carry = models.seq2seq_step(model, params, source, length)
        start = jnp.full(len(source), bos)
        penalty = decode.power_penalty() if config.penalty == "power" else decode.gnmt_penalty()
        options: dict[str, Any] = {"num_steps": length, "end_id": eos, "penalty": penalty}
        greedy = decode.greedy(step, carry, start, **options)
        options |= {"beam_size": config.beam_size, "finished_only": config.finished_only}
        options["carry_axis"] = model.carry_axis
        beam = decode.beam_search(step, carry, start, **options)
        return {"greedy": greedy.tokens, "beam": beam.tokens[:, 0]}

    def sentence(ids: np.ndarray, vocabulary: data.text.Vocabulary) -> list[str]:
        ids = ids[: int(np.argmax(ids == eos))] if (ids == eos).any() else ids
        return vocabulary.decode(ids)

    with runs.open(
        config, name="translation", out=config.out, resume=config.resume, data=splits
    ) as run:
        run.note(f"{len(source)} and {len(target)} tokens; train {counts['train']}")
        run.note(f"test {counts['test']}")
        result = train.fit(
            trainer,
            splits["train"],
            epochs=epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        params = result.state.params
        found: dict[str, list[str]] = {"greedy": [], "beam": []}
        for batch in data.batches(splits["test"], min(128, len(splits["test"]))):
            for name, ids in translate(params, batch["source"]).items():
                kept = np.asarray(ids)[np.asarray(batch["mask"])]
                found[name] += [joint.join(sentence(row, target)) for row in kept]
        wanted = references(pairs["test"])
        results: dict[str, float] = {}
        for name, sentences in found.items():
            scored = scores(sentences, wanted, letters)
            results |= {f"test/{score}_{name}": value for score, value in scored.items()}
        for i in range(min(6, len(wanted))):
            run.note(f"{pairs['test']['source'][i]} -> {found['beam'][i]} ({wanted[i][0]})")
        run.figure("curves", plots.curves(result.history))
        if model.attention:
            shown = splits["test"].take(slice(4))
            read = jnp.pad(jnp.asarray(shown["target"])[:, :-1], ((0, 0), (1, 0)), mode="constant")
            read = read.at[:, 0].set(bos)
            maps: Any = model.apply({"params": params}, shown["source"], read, train=False)[1]
            texts = [
                [sentence(ids, v) for ids in shown[name]]
                for name, v in (("source", source), ("target", target))
            ]
            run.figure("attention", plots.attention_maps(list(maps), *texts))
        return run.finish(results)


def make_model(config: Config, source_size: int, target_size: int) -> Any:
    hidden_size = 8 if config.smoke else config.hidden_size
    if config.model == "transformer":
        return models.TransformerSeq2Seq(
            source_size,
            target_size,
            dim=hidden_size,
            num_layers=config.layers,
            num_heads=config.heads,
            dropout=config.dropout,
        )
    return models.Seq2Seq(
        source_size,
        target_size,
        embed_dim=8 if config.smoke else config.embed_dim,
        hidden_size=hidden_size,
        attention=None if config.attention == "none" else config.attention,
        dropout=config.dropout,
        cell=nn.GRUCell(reset_after=config.reset_after),
    )


def references(pairs: data.Dataset) -> list[list[str]]:
    """All translations of each source count: Tatoeba has several of a sentence."""
    found: dict[str, list[str]] = {}
    for source, target in zip(pairs["source"].tolist(), pairs["target"].tolist(), strict=True):
        found.setdefault(source, []).append(target)
    return [found[source] for source in pairs["source"].tolist()]


def scores(sentences: list[str], wanted: list[list[str]], letters: bool) -> dict[str, float]:
    """How close the sentences come to any of those wanted, in tokens of letters or words."""
    split = list if letters else str.split
    tokens = "char" if letters else "none"
    pairs = list(zip(sentences, wanted, strict=True))
    book = [max(metrics.d2l_bleu(split(a), split(b)) for b in given) for a, given in pairs]
    return {
        "bleu": metrics.BLEU.from_batch(sentences, wanted, tokenize=tokens).compute(),
        "exact": float(np.mean([a in given for a, given in pairs])),
        "d2l_bleu": float(np.mean(book)),
    }


if __name__ == "__main__":
    cli.run(main, Config)
