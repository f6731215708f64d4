"""A transformer over characters: held-out perplexity, and what it writes through its cache.

    python -m experiments.transformer_lm                             # the manual of CPython
    python -m experiments.transformer_lm --data text --data-dir timemachine.txt
    python -m experiments.transformer_lm --form llama                # rotary, RMS norm, gated

The same texts and splits as `char_lm`, whose recurrent networks are the comparison. Vaswani et al.
2017, arXiv:1706.03762; Radford et al. 2019.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jaxdl import cli, data, decode, models, objectives, optim, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["manual", "text"] = "manual"  # which text
    data_dir: pathlib.Path | None = None  # file or folder of the text
    form: Literal["gpt2", "llama"] = "gpt2"  # of the blocks
    layers: int = 4  # one above the other
    dim: int = 128  # width
    heads: int = 4  # of the attention
    context: int = 128  # characters that are read at once
    dropout: float = 0.1
    learning_rate: float = 1e-3  # of AdamW, after a warm-up, at the start of a cosine to zero
    weight_decay: float = 0.1  # of the kernels
    epochs: int = 5  # passes over the text
    batch_size: int = 32  # windows per step
    prompt: str = "time traveller"  # what samples begin with
    temperature: float = 0.5  # of samples; 0 takes the most probable character
    seed: int = 0  # of the weights and the samples
    smoke: bool = False  # a few seconds: little text, a narrow model
    out: pathlib.Path | None = None  # run folder; runs/transformer_lm/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


LLAMA: dict[str, Any] = {
    "norm": "rms", "activation": "swiglu", "rotary": 10_000.0, "use_bias": False,
}  # fmt: skip


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, layers=2, dim=16, heads=2, context=32, epochs=1)
    texts = data.text.joined(data.load(config.data, config.data_dir))
    text = {name: data.text.letters(text) for name, text in texts.items()}
    text["train"] = text["train"][: 4000 if config.smoke else None]
    text["test"] = text["test"][: 2000 if config.smoke else None]
    vocabulary = data.text.Vocabulary.build(
        data.text.characters(text["train"]), reserved=("<unk>",)
    )
    T = config.context
    splits = {name: data.text.windows(vocabulary.encode(t), T) for name, t in text.items()}
    prompt = jnp.asarray(vocabulary.encode(data.text.characters(config.prompt)))
    if not 0 < len(prompt) < T:
        raise ValueError(f"a prompt needs 1 to {T - 1} characters, got {len(prompt)}")
    model = models.Transformer(
        len(vocabulary),
        context=T,
        dim=config.dim,
        num_layers=config.layers,
        num_heads=config.heads,
        dropout=config.dropout,
        **(LLAMA if config.form == "llama" else {}),
    )
    steps = data.num_steps(len(splits["train"]), config.batch_size, config.epochs)
    warmup = max(1, steps // 20)
    schedule = optim.warmup_cosine_decay(
        config.learning_rate, warmup_steps=warmup, cosine_steps=max(1, steps - warmup)
    )
    tx = optax.adamw(schedule, weight_decay=config.weight_decay, mask=optim.weights_only)
    trainer = train.make(objectives.language_model(model), tx, clip_norm=1.0)

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
        run.note(f"{len(text['train'])} characters to train on, {len(vocabulary)} different")
        vocabulary.save(run.folder / "vocabulary.json")
        result = train.fit(
            trainer,
            splits["train"],
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            held_out={"test": splits["test"]},
            run=run,
        )
        run.note(f"{config.prompt}|{''.join(vocabulary.decode(write_some(result.state.params)))}")
        run.figure("curves", plots.curves(result.history))
        count = sum(leaf.size for leaf in jax.tree.leaves(result.state.params))
        final = train.evaluate(trainer, result.state, splits["test"], config.batch_size)
        return run.finish({**train.scalars(final, "test/"), "parameters": float(count)})


if __name__ == "__main__":
    cli.run(main, Config)
