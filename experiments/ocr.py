"""Reading digits after training on rendered ones only: unseen fonts, and handwriting.

    python -m experiments.ocr                                    # scikit-learn's handwritten digits
    python -m experiments.ocr --data mnist --data-dir DIR

Every training batch is drawn anew from twelve of matplotlib's fonts; three are kept for the test.
"""

import dataclasses
import functools
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "mnist"] = "digits"  # the handwriting to read
    data_dir: pathlib.Path | None = None  # folder of the original files (MNIST)
    steps: int = 1000  # batches drawn for training
    batch_size: int = 128  # characters a batch
    learning_rate: float = 2e-3  # of Adam, at the start of a cosine to zero
    seed: int = 0  # of the weights and the drawings
    smoke: bool = False  # a few seconds: 20 small batches
    out: pathlib.Path | None = None  # run folder; runs/ocr/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


HEIGHT = {"digits": (1.5, 2.2), "mnist": (1.2, 1.7)}  # the handwriting fills so much of its frame
BLOCK = 100  # batches between two rows
UNSEEN = ("DejaVuSerif-Italic", "STIXGeneralBol", "cmss10")


def main(config: Config) -> dict[str, float]:
    if config.steps < 1 or config.batch_size < 1:
        raise ValueError("steps and batch_size must be at least 1")
    splits = data.load(config.data, config.data_dir, limit=200 if config.smoke else None)
    steps, batch_size = (20, 32) if config.smoke else (config.steps, config.batch_size)
    seen = data.images.glyph_sheet(
        "0123456789", [font for font in data.images.FONTS if font not in UNSEEN]
    )
    unseen = data.images.glyph_sheet("0123456789", UNSEEN)
    shape = (16, 16) if config.data == "digits" else (28, 28)

    def preprocess(batch: dict) -> dict:
        return batch if batch["image"].dtype != jnp.uint8 else data.images.to_unit(batch, shape)

    state_key, draw_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    objective = objectives.supervised(
        models.LeNet(num_classes=10),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=preprocess,
    )
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    trainer = train.make(objective, optax.adam(schedule))
    step = jax.jit(trainer.step)
    draw = jax.jit(
        functools.partial(data.images.draw_text, size=shape, height=HEIGHT[config.data]),
        static_argnames="num_examples",
    )

    def drawn(number: int) -> dict[str, jax.Array]:
        batch = draw(jax.random.fold_in(draw_key, number), seen, batch_size)
        return {**batch, "mask": jnp.ones(batch_size, bool)}

    def block(state: train.TrainState, k: int) -> tuple[train.TrainState, dict[str, float]]:
        for number in range(BLOCK * k, min(BLOCK * (k + 1), steps)):
            state, measured = step(state, drawn(number))
        return state, train.scalars(measured, "train/")

    fonts = jax.device_get(draw(test_key, unseen, 200 if config.smoke else 2000))
    tests = {"unseen_fonts": data.Dataset(fonts), "handwriting": splits["test"]}
    with runs.open(config, name="ocr", out=config.out, resume=config.resume, data=splits) as run:
        start = trainer.init(state_key, drawn(0))
        train.offer_plan(step, start, drawn(0), batch_argnums=(1,))
        state, _ = train.run_blocks(block, start, -(-steps // BLOCK), run=run)
        run.figure("drawn", plots.tiles(np.asarray(drawn(0)["image"][:64, ..., 0])))
        accuracy = {
            f"test/{name}": train.scalars(train.evaluate(trainer, state, split))["accuracy"]
            for name, split in tests.items()
        }
        # What is drawn has all digits alike: answering any one of them is right for a tenth.
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**accuracy, "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
