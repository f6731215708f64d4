"""Image filters of 512 x 512 beside OpenCV and scikit-image, those of `experiments.image_filters`.

Conventions differ (Canny's thresholds, borders), so the results are not compared here; the parity
tests do that, each under the convention of the library it is held against.
"""

from collections.abc import Callable

import jax
import numpy as np

from experiments import image_filters
from experiments.peers._side import Row, Side

LIBRARIES = {"jaxdl": "jaxdl", "opencv": "opencv", "scikit-image": "skimage"}


def side(name: str, library: str) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        from sklearn.datasets import load_sample_image

        from jaxdl import ops

        size = 64 if smoke else 512
        photo = ops.resize(ops.rgb_to_grayscale(load_sample_image("china.jpg")), (size, size))
        batch = np.stack([np.asarray(photo)] * (2 if smoke else 8))
        work = image_filters.contenders(batch)[name][library]
        jax.block_until_ready(work())
        return Side(work, len(batch), 0.0)

    return build


ROWS = {
    name: Row(
        {shown: side(name, library) for shown, library in LIBRARIES.items()},
        "images",
        0.0,
        ("cv2", "skimage"),
    )
    for name in ("gaussian", "sobel", "median", "canny")
}
