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

from jaxdl import cli, data, losses, metrics, models, plots, runs, train


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


HEIGHT = {"digits": (1.5, 2.2), "mnist": (1.2, 1.7)}  # the handwriting fills so much of its frame
UNSEEN = ("DejaVuSerif-Italic", "STIXGeneralBol", "cmss10")


def main(config: Config) -> dict[str, float]:
    if config.steps < 1 or config.batch_size < 1:
        raise ValueError("steps and batch_size must be at least 1")
    handwriting = data.load(config.data, config.data_dir, limit=200 if config.smoke else None)
    steps, batch_size = (20, 32) if config.smoke else (config.steps, config.batch_size)
    seen = data.glyph_sheet("0123456789", [font for font in data.FONTS if font not in UNSEEN])
    unseen = data.glyph_sheet("0123456789", UNSEEN)
    shape = (16, 16) if config.data == "digits" else (28, 28)

    def prepare(batch: dict) -> dict:
        image = batch["image"]
        if image.dtype == jnp.uint8:
            image = jax.image.resize(
                data.to_unit(batch)["image"], (len(image), *shape, 1), "linear"
            )
        return {**batch, "image": image}

    model = models.LeNet(num_classes=10)
    key, init_key, draw_key, test_key = jax.random.split(jax.random.key(config.seed), 4)
    params, model_state = train.linen_init(model, init_key, jnp.zeros((1, *shape, 1)))
    tx = optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
    state = train.TrainState.create(params=params, model_state=model_state, tx=tx, key=key)
    objective = train.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        prepare=prepare,
    )
    step = jax.jit(train.make_step(objective, tx))
    eval_step = jax.jit(train.make_eval(objective))
    draw = jax.jit(
        functools.partial(data.draw_text, size=shape, height=HEIGHT[config.data]),
        static_argnames="num_examples",
    )

    fonts = jax.device_get(draw(test_key, unseen, 200 if config.smoke else 2000))
    tests = {"unseen_fonts": data.Split(fonts), "handwriting": handwriting["test"]}
    with runs.open(config, name="ocr", out=config.out, data=handwriting) as run:
        for number in range(steps):
            batch = draw(jax.random.fold_in(draw_key, number), seen, batch_size)
            state, measured = step(state, {**batch, "mask": jnp.ones(batch_size, bool)})
            if number % 100 == 0 or number == steps - 1:
                run.write(number + 1, train.scalars(measured, "train/"))
        run.figure("drawn", plots.tiles(np.asarray(batch["image"][:64, ..., 0])))
        accuracy = {
            f"test/{name}": train.scalars(train.evaluate(eval_step, state, split, 500))["accuracy"]
            for name, split in tests.items()
        }
        return run.finish(accuracy)


if __name__ == "__main__":
    cli.run(main, Config)
