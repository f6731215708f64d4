"""Canny's edge detector step by step, and what its two thresholds do.

    python -m experiments.edges --sigma 2 --low 0.05 --high 0.3

Canny, A computational approach to edge detection, PAMI 1986.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np

from jaxdl import cli, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    photo: Literal["china", "flower"] = "china"  # which of scikit-learn's photographs
    sigma: float = 1.5  # of the smoothing, in pixels
    low: float = 0.1  # slope (Sobel, a unit step is 4) that continues an edge
    high: float = 0.3  # slope that starts one
    neighbors: Literal["interpolated", "nearest"] = "interpolated"  # what a pixel must not be below
    smoke: bool = False  # a small part of the photograph
    out: pathlib.Path | None = None  # run folder; runs/edges/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[("china", "flower").index(config.photo)]
    if config.smoke:
        photo = photo[100:164, 200:280]
    if not 0 <= config.low <= config.high:
        raise ValueError(f"need 0 <= low <= high, got {config.low} and {config.high}")
    luma = ops.rgb_to_grayscale(photo).astype(np.float32) / 255
    smooth = ops.gaussian_filter(luma, config.sigma, border="nearest")
    slope = ops.sobel(smooth)
    magnitude = ops.gradient_magnitude(slope)
    thin = ops.thin_edges(slope, magnitude, neighbors=config.neighbors)
    weak, strong = thin >= max(config.low, 1e-9), thin >= max(config.high, 1e-9)
    edges = ops.hysteresis(weak, strong)
    steps = {
        "gray": luma,
        f"smooth, sigma {config.sigma}": smooth,
        "central differences": ops.gradient_magnitude(ops.central_difference(smooth)),
        "Prewitt": ops.gradient_magnitude(ops.prewitt(smooth)),
        "slope to the right": slope.x,
        "slope downwards": slope.y,
        "magnitude": magnitude,
        "angle": ops.gradient_angle(slope),
        "thin": thin,
        f"weak, at least {config.low}": weak,
        f"strong, at least {config.high}": strong,
        "weak joined to strong": edges,
    }
    at_once = ops.canny(
        luma, config.sigma, low=config.low, high=config.high, neighbors=config.neighbors,
        border="nearest",
    )  # fmt: skip
    with runs.open(config, name="edges", out=config.out) as run:
        run.figure("steps", plots.gallery(steps, columns=4))
        return run.finish(
            {
                "weak": float(weak.mean()),
                "strong": float(strong.mean()),
                "edges": float(edges.mean()),
                "same_as_canny": float((at_once == edges).mean()),
            }
        )


if __name__ == "__main__":
    cli.run(main, Config)
