"""How anchors are placed, assigned to objects, and suppressed, on scattered digits.

    python -m experiments.anchors

No network: each anchor that answers for an object stands in for a detector that is nearly right,
its offsets off by noise and its score the IoU it reaches. Four figures are written: the anchors of
one cell of each map, the anchors that answer for an object, and what is left of them after
suppression and after soft suppression.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import cli, data, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    height: int = 128  # of the images, in pixels
    width: int = 192  # of the images
    images: int = 64  # images measured; four of them are drawn
    maps: tuple[int, ...] = (4, 8, 16, 32)  # pixels of a cell, one feature map each
    sizes: tuple[float, ...] = (0.12, 0.25, 0.45, 0.7)  # anchors' sides, shares of the height
    iou_threshold: float = 0.5  # an anchor with less answers for an object only as its best
    nms_threshold: float = 0.45  # boxes that overlap more are one object
    noise: float = 0.7  # standard deviation of the offsets' errors
    seed: int = 0  # of images and noise
    smoke: bool = False  # seconds: four small images
    out: pathlib.Path | None = None  # run folder; runs/anchors/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    if len(config.maps) != len(config.sizes) or config.images < 4:
        raise ValueError("need one size for each map, and at least 4 images")
    if config.smoke:
        config = dataclasses.replace(config, height=64, width=96, images=4)
    size = config.height, config.width
    split = data.images.scatter_digits(config.images, split="test", size=size, seed=config.seed)
    grids = [(config.height // cell, config.width // cell) for cell in config.maps]
    levels = [[s, s * 2**0.5] for s in config.sizes], [[1.0, 2.0, 0.5]] * len(grids)
    anchors = ops.pyramid_anchor_boxes(grids, *levels, aspect=config.width / config.height)
    boxes, classes = jnp.asarray(split["boxes"]), jnp.asarray(split["classes"])
    real = classes >= 0

    @jax.jit
    def assigned(boxes: jax.Array, classes: jax.Array):
        targets = ops.anchor_targets(anchors, boxes, classes, iou_threshold=config.iou_threshold)
        noise = config.noise * jax.random.normal(jax.random.key(config.seed), targets.offsets.shape)
        at = jnp.broadcast_to(anchors, targets.offsets.shape)
        found = ops.clip_boxes(ops.decode_boxes(targets.offsets + noise, at))
        own = jnp.where(real[:, None], ops.box_iou(found, boxes), 0)
        scores = jnp.where(targets.positive, jnp.max(own, axis=-1), 0)
        hard = ops.nms(
            found,
            scores,
            mask=targets.positive,
            classes=targets.classes,
            iou_threshold=config.nms_threshold,
            max_outputs=100,
        )
        soft, lowered = ops.soft_nms(
            found, scores, mask=targets.positive, classes=targets.classes, max_outputs=100
        )
        return targets, found, hard, soft, lowered

    targets, found, hard, soft, lowered = assigned(boxes, classes)
    best = jnp.max(ops.box_iou(boxes, jnp.broadcast_to(anchors, (len(boxes), *anchors.shape))), -1)
    objects = jnp.sum(real)
    numbers = {
        "anchors": len(anchors),
        "anchors_per_object": float(jnp.sum(targets.positive) / objects),
        "best_iou": float(jnp.sum(jnp.where(real, best, 0)) / objects),
        "objects_above_threshold": float(jnp.sum(real & (best >= config.iou_threshold)) / objects),
        "kept_per_object": float(jnp.sum(hard >= 0) / objects),
        "kept_per_object/soft": float(jnp.sum(lowered > config.nms_threshold) / objects),
    }
    with runs.open(config, name="anchors", out=config.out) as run:
        images, truth = split["image"][:4], split["boxes"][:4]
        starts = np.cumsum([0] + [4 * h * w for h, w in grids[:-1]])
        middles = [4 * (h // 2 * w + w // 2) for h, w in grids]
        cells = [anchors[s + m : s + m + 4] for s, m in zip(starts, middles, strict=True)][:4]
        titles = [f"a cell of the {h} x {w} map" for h, w in grids][:4]
        run.figure("laid", plots.framed(images[: len(cells)], cells, titles=titles, columns=2))
        positive = [np.asarray(anchors)[np.asarray(keep)] for keep in targets.positive[:4]]
        texts = [digits(c[keep]) for c, keep in zip(targets.classes, targets.positive, strict=True)]
        titles = [f"{len(p)} of {len(anchors)} anchors" for p in positive]
        run.figure(
            "assigned",
            plots.framed(images, positive, texts[:4], truth=truth, titles=titles, columns=2),
        )
        for name, index, shown in (
            ("suppressed", hard, hard >= 0),
            ("softly_suppressed", soft, lowered > config.nms_threshold),
        ):
            picked = [np.asarray(index[i])[np.asarray(shown[i])] for i in range(4)]
            kept = [np.asarray(found[i])[picked[i]] for i in range(4)]
            texts = [digits(targets.classes[i][picked[i]]) for i in range(4)]
            titles = [f"{len(kept[i])} of {len(positive[i])} boxes" for i in range(4)]
            figure = plots.framed(images, kept, texts, truth=truth, titles=titles, columns=2)
            run.figure(name, figure)
        for key, value in numbers.items():
            run.note(f"{key}: {value:.4g}")
        return run.finish(numbers)


def digits(classes: jax.Array) -> list[str]:
    return [str(int(k) - 1) for k in classes]


if __name__ == "__main__":
    cli.run(main, Config)
