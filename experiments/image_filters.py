"""Every classical filter on one photograph, and its time beside OpenCV's and scikit-image's.

    python -m experiments.image_filters                     # scikit-learn's photograph of a temple

Times are medians of runs that take turns, so that other work on the machine slows all alike; a
library that is not installed is left out. Both libraries get one image after another, as they do.
"""

import dataclasses
import importlib.util
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Literal

import jax
import numpy as np

from jaxdl import cli, ops, plots, runs


@dataclasses.dataclass(frozen=True)
class Config:
    photo: Literal["china", "flower"] = "china"  # which of scikit-learn's photographs
    size: int = 512  # height and width of what is timed
    batch_size: int = 8  # images in what is timed
    repeats: int = 15  # of each timing
    noise: float = 0.1  # share of salt and pepper that the median has to remove
    seed: int = 0  # of the noise
    smoke: bool = False  # a second: a small photograph, two repeats
    out: pathlib.Path | None = None  # run folder; runs/image_filters/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    from sklearn.datasets import load_sample_images

    if min(config.size, config.batch_size, config.repeats) < 1:
        raise ValueError("size, batch_size and repeats must be at least 1")
    photos = load_sample_images().images
    photo = photos[("china", "flower").index(config.photo)]
    if config.smoke:
        photo = photo[100:164, 200:280]
    key = jax.random.key(config.seed)
    speckled = ops.salt_and_pepper(key, photo, config.noise)
    luma = ops.rgb_to_grayscale(photo)
    images = {
        "photo": photo,
        "average 9 x 9": ops.box_blur(photo, 9),
        "Gaussian, sigma 3": ops.gaussian_filter(photo, 3.0),
        "high frequencies": ops.high_frequencies(luma),
        "high-pass": ops.high_pass(photo),
        "unsharp mask": ops.unsharp_mask(photo, 2.0, 1.5),
        "Laplacian": ops.laplacian(luma),
        "salt and pepper": speckled,
        "median 3 x 3": ops.median_filter(speckled),
        "bilateral": ops.bilateral_filter(photo, 9, sigma_color=75.0, sigma_space=3.0),
        "Sobel magnitude": ops.gradient_magnitude(ops.sobel(luma)),
        "Prewitt angle": ops.gradient_angle(ops.prewitt(luma)),
        "Canny": ops.canny(luma, 1.5),
        "equalized": ops.equalize_hist(photo),
        "contrast stretched": ops.rescale_intensity(photo, low=2, high=98),
        "four levels": ops.quantize(photo, 4),
    }
    with runs.open(config, name="image_filters", out=config.out) as run:
        run.figure("filters", plots.gallery(images))
        # Two blurs in a row are one by the convolution of their kernels: f * (g * h) = (f * g) * h.
        row, blur = luma[len(luma) // 2, :, 0].astype(np.float32), np.full(5, 0.2, np.float32)
        twice, once = (
            ops.convolve(ops.convolve(row, blur), blur),
            ops.convolve(row, ops.convolve(blur, blur)),
        )
        apart = float(np.abs(np.asarray(twice - once)).max())
        run.note(f"two averages of 5, and one of their convolution: at most {apart:.1e} apart")
        meters = np.array([0.1, 0.5, 2.0, np.inf])
        sharp = 1000 * np.asarray(ops.image_distance(meters, 0.05))
        run.note(f"a lens of 50 mm is sharp at {sharp.round(1)} mm for objects at {meters} m")
        size = 32 if config.smoke else config.size
        fitted = ops.resize(ops.rgb_to_grayscale(photos[0]), (size, size))
        batch = np.stack([np.asarray(fitted)] * config.batch_size)
        numbers: dict[str, float] = {}
        for name, functions in contenders(batch).items():
            rates = images_per_second(functions, len(batch), 2 if config.smoke else config.repeats)
            numbers |= {f"{name}/{library}": rate for library, rate in rates.items()}
            shown = ", ".join(f"{library} {rate:,.0f}" for library, rate in rates.items())
            run.note(f"{name}: {shown} images/s")
        error = np.abs(np.asarray(images["median 3 x 3"], float) - photo).mean()
        return run.finish({**numbers, "median/mean_error": float(error)})


def contenders(levels: np.ndarray) -> dict[str, dict[str, Callable[[], object]]]:
    """For every filter, what runs it on uint8 images `[B, H, W, 1]`, by library."""
    floats = levels.astype(np.float32) / 255
    x, u = jax.device_put(floats), jax.device_put(levels)
    blur = jax.jit(lambda x: ops.gaussian_filter(x, 1.0, size=7, border="mirror"))
    slope = jax.jit(lambda x: ops.gradient_magnitude(ops.sobel(x)))
    median, canny = jax.jit(ops.median_filter), jax.jit(ops.canny)
    found: dict[str, dict[str, Callable[[], object]]] = {
        "gaussian": {"jaxdl": lambda: blur(x)},
        "sobel": {"jaxdl": lambda: slope(x)},
        "median": {"jaxdl": lambda: median(u)},
        "canny": {"jaxdl": lambda: canny(x)},
    }
    if importlib.util.find_spec("cv2"):
        import cv2

        def sobel(i: np.ndarray) -> np.ndarray:
            return cv2.magnitude(cv2.Sobel(i, cv2.CV_32F, 1, 0), cv2.Sobel(i, cv2.CV_32F, 0, 1))

        found["gaussian"]["opencv"] = lambda: [cv2.GaussianBlur(i, (7, 7), 1.0) for i in floats]
        found["sobel"]["opencv"] = lambda: [sobel(i) for i in floats]
        found["median"]["opencv"] = lambda: [cv2.medianBlur(i, 3) for i in levels]
        found["canny"]["opencv"] = lambda: [cv2.Canny(i, 100, 200) for i in levels]
    if importlib.util.find_spec("skimage"):
        from skimage import feature, filters

        planes, bytes_ = floats[..., 0], levels[..., 0]
        found["gaussian"]["skimage"] = lambda: [filters.gaussian(i, 1, truncate=3) for i in planes]
        found["sobel"]["skimage"] = lambda: [filters.sobel(i) for i in planes]
        found["median"]["skimage"] = lambda: [filters.median(i, np.ones((3, 3))) for i in bytes_]
        found["canny"]["skimage"] = lambda: [feature.canny(i) for i in planes]
    return found


def images_per_second(
    functions: dict[str, Callable[[], object]], images: int, repeats: int
) -> dict[str, float]:
    """Median rate of each function; they take turns, after one run that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: images / statistics.median(each) for name, each in seconds.items()}


if __name__ == "__main__":
    cli.run(main, Config)
