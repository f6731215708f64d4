"""Style transfer: the shapes of one picture in the colors and textures of another.

    python -m experiments.style_transfer                          # china.jpg painted as flower.jpg
    python -m experiments.style_transfer --weights vgg19-dcbb9e9d.pth
    python -m experiments.style_transfer --content A.jpg --style B.jpg C.jpg    # two paintings

Without weights the body is a narrow VGG-19 whose random channels are normalized over the pictures:
random features carry textures too (He, Wang & Hopcroft 2016, arXiv:1606.04801). With `--body-steps`
it first learns to tell in which part of which picture a patch lies. `body.safetensors` in the run
folder keeps it for `--weights`.

Gatys, Ecker & Bethge, Image style transfer using convolutional networks, 2016.
"""

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, ops, plots, runs, train
from jaxdl.models import style, weights

GRID, PATCH = 3, 64  # parts of a picture along a side, and pixels of a patch, for the body's task


@dataclasses.dataclass(frozen=True)
class Config:
    content: pathlib.Path | None = None  # picture whose shapes are kept; china.jpg by default
    style: tuple[pathlib.Path, ...] = ()  # pictures to paint like; flower.jpg by default
    weights: pathlib.Path | None = None  # torch's VGG-19 (.pth, .safetensors) or a body from here
    width: int = 16  # channels of the first block of a body made here
    body_steps: int = 0  # steps of its training; 0 leaves it random
    size: int = 256  # pixels a side; pictures are cut square
    steps: int = 300  # steps of painting
    learning_rate: float = 0.03  # of Adam, in units of pixels in 0..1, falling to zero
    content_weight: float = 0.2
    style_weight: float = 1.0
    variation_weight: float = 8.0
    seed: int = 0  # of the body's weights and patches
    smoke: bool = False  # a few seconds: small pictures, few steps
    out: pathlib.Path | None = None  # run folder; runs/style_transfer/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    if config.smoke:
        config = dataclasses.replace(config, size=64, width=4, steps=10, body_steps=2)
    if config.size < PATCH:
        raise ValueError(f"size must be at least {PATCH}, got {config.size}")
    with runs.open(config, name="style_transfer", out=config.out, resume=config.resume) as run:
        pictures = read_pictures(config)  # [1 + S, size, size, 3] in 0..1
        if config.weights is not None:
            body, variables = style.load_body(config.weights)
        else:
            body, variables = make_body(config, pictures, run)
            weights.save(run.folder / "body.safetensors", body, variables)

        content, styles = jnp.repeat(pictures[:1], len(pictures) - 1, axis=0), pictures[1:]
        targets = objectives.style.targets(body, variables, content, styles)
        start = time.perf_counter()
        painted, rows = paint(config, run, body, variables, content, targets)
        seconds = (time.perf_counter() - start) / config.steps
        run.figure("losses", plots.curves(rows, x="steps"))
        shown = {"content": pictures[0]}
        for k, (like, result) in enumerate(zip(styles, painted, strict=True), start=1):
            shown |= {f"style {k}": like, f"painted {k}": result}
        run.figure("painted", plots.gallery(shown, columns=3))
        ends = {"first": rows[0], "last": rows[-1]}
        results = {
            f"{n}/{when}": ends[when][n] for when in ends for n in objectives.style.Balance._fields
        }
        return run.finish(results | {"time/step": seconds})


def read_pictures(config: Config) -> jax.Array:
    """Content and styles, cut to their middle square and resized."""
    import sklearn.datasets
    from PIL import Image, ImageOps

    china, flower = (Image.fromarray(p) for p in sklearn.datasets.load_sample_images().images)
    content = data.readers.open_image(config.content) if config.content else china
    styles = [data.readers.open_image(path) for path in config.style] or [flower]
    square = (config.size, config.size)
    fitted = [ImageOps.fit(one, square, Image.Resampling.LANCZOS) for one in (content, *styles)]
    return jnp.asarray(np.stack([np.asarray(one) for one in fitted]), jnp.float32) / 255


def paint(
    config: Config, run: runs.Run, body: Any, variables: Any, images: jax.Array, targets: Any
) -> tuple[jax.Array, list[dict[str, float]]]:
    """Descends on the pixels, which are the parameters; returns them and rows of the losses."""
    balance = objectives.style.Balance(
        config.content_weight, config.style_weight, config.variation_weight
    )

    def objective(images: Any, model_state: Any, batch: Any, key: Any, *, train: bool) -> Any:
        found = objectives.style.parts(body, batch["variables"], images, batch["targets"])
        weighted = (weight * found[name] for name, weight in balance._asdict().items())
        states = {name: metrics.Mean.from_values(value) for name, value in found.items()}
        total = jnp.sum(sum(weighted))  # images do not touch each other
        return metrics.Mean(total, jnp.ones(())), objectives.Aux(states, model_state)

    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    trainer = train.make(objective, optax.adam(rate))
    batch = {"variables": variables, "targets": targets}

    @jax.jit
    def step(state: train.TrainState, batch: Any) -> Any:
        state, found = trainer.step(state, batch)
        return state.replace(params=jnp.clip(state.params, 0, 1)), found

    def block(state: train.TrainState, k: int) -> tuple[train.TrainState, Any]:
        state, found = step(state, batch)
        shown = k % max(1, config.steps // 10) == 0 or k == config.steps - 1
        return state, {"steps": k, **train.scalars(found)} if shown else None

    start = trainer.init(jax.random.key(config.seed), params=images)
    train.offer_plan(step, start, batch)
    state, rows = train.run_blocks(block, start, config.steps, run=run)
    return state.params, rows


def make_body(config: Config, pictures: jax.Array, run: runs.Run) -> tuple[models.VGG, Any]:
    """A VGG-19 that learned in which part of the pictures a patch lies, normalized over them."""
    side = config.size // GRID
    cut = pictures[:, : side * GRID, : side * GRID].reshape(-1, GRID, side, GRID, side, 3)
    parts = np.asarray(cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side, side, 3))
    repeated = np.tile(np.arange(len(parts)), 32)
    split = data.Dataset({"image": np.rint(parts[repeated] * 255).astype(np.uint8),
                        "label": repeated.astype(np.int32)})  # fmt: skip
    body = style.vgg19(config.width, batch_norm=True, num_classes=len(parts))
    crop = functools.partial(data.images.random_resized_crop, size=(PATCH, PATCH), area=(0.3, 1.0))
    augment = data.images.augmentation(data.images.random_flip, crop, data.images.random_color)

    def patches(key: jax.Array, batch: dict) -> dict:
        batch = augment(key, batch)
        return {**batch, "image": ops.normalize(batch["image"])}

    objective = objectives.supervised(
        body, losses.softmax_cross_entropy, preprocess=data.images.to_unit, augment=patches
    )
    trainer = train.make(objective, optax.adam(1e-3))
    step = jax.jit(trainer.step)

    def block(state: train.TrainState, k: int) -> tuple[train.TrainState, dict[str, float]]:
        batch = data.host_batch(split, k, batch_size=32, seed=config.seed)
        state, found = step(state, batch)
        return state, train.scalars(found, "train/")

    example = {"image": np.zeros((1, PATCH, PATCH, 3), np.uint8), "mask": np.ones(1, bool)}
    state = trainer.init(jax.random.key(config.seed), example)
    if config.body_steps:
        state, rows = train.run_blocks(block, state, config.body_steps, run=run.part("body"))
        loss = rows[-1]["train/loss"]
        run.note(f"body: {len(parts)} parts as classes, loss {loss:.3f}")
    variables = {"params": state.params, **state.model_state}
    return body, style.with_statistics(body, variables, pictures)


if __name__ == "__main__":
    cli.run(main, Config)
