"""Style transfer: Gatys, Ecker & Bethge 2016, Image style transfer using convolutional networks.

    # images [B, H, W, 3] in 0..1
    targets = objectives.style.targets(body, variables, content, pictures)
    losses = objectives.style.parts(body, variables, images, targets)  # to descend on by images

The body is a VGG of this package, whose features tell what is where (content) and which textures
there are (style: Gram matrices). Only the image is changed. Every loss is one number per image, so
that B contents and styles are painted side by side (`experiments.style_transfer`).
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import nn, ops
from jaxdl.models import weights
from jaxdl.models.vgg import VGG, VGG19
from jaxdl.models.vgg import batch_norm as _batch_norm

CONTENT = ("relu4_4",)  # the last convolution of the fourth block
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # the first one of each block
WHERE = "torchvision's VGG-19 is https://download.pytorch.org/models/vgg19-dcbb9e9d.pth (548 MB)"


def vgg19(width: int = 64, *, batch_norm: bool = False, num_classes: int | None = None) -> VGG:
    """A VGG-19 whose first block has `width` channels; the published one has 64, and no norm.

    >>> vgg19(width=16).widths
    (16, 32, 64, 128, 128)
    """
    widths = tuple(width * n for n in (1, 2, 4, 8, 8))
    norm = _batch_norm if batch_norm else None
    return VGG19(num_classes=num_classes, widths=widths, norm=norm, dense_size=4 * widths[-1])


def load_body(path: str | pathlib.Path) -> tuple[VGG, Any]:
    """A VGG-19 in torchvision's names, of the width and with the norm that the file has.

    >>> body, images = vgg19(width=2), jnp.zeros((1, 32, 32, 3))
    >>> shapes = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> weights.save("vgg.safetensors", body, jax.tree.map(lambda x: np.ones(x.shape), shapes))
    >>> load_body("vgg.safetensors")[0].widths
    (2, 4, 8, 16, 16)

    Returns: the model up to the deepest feature of `CONTENT` and `STYLE`, and its variables.
    Raises: FileNotFoundError; ValueError if something is missing (nothing stays random).
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}; {WHERE}")
    state = weights.read_state_dict(path)
    if "features.0.weight" not in state:
        raise ValueError(f"{path} is no VGG-19; {WHERE}")
    width, normed = len(state["features.0.weight"]), "features.1.running_mean" in state
    body = vgg19(width, batch_norm=normed).clone(taps=(*CONTENT, *STYLE))
    x = jnp.zeros((1, body.stride, body.stride, 3))
    shapes = jax.eval_shape(lambda key: body.init(key, x, train=False), jax.random.key(0))
    variables, report = weights.from_torch(body, shapes, state)
    if not report.complete:
        raise ValueError(f"{path} is no VGG-19 ({report}); {WHERE}")
    return body, variables


def with_statistics(body: VGG, variables: Any, images: jax.Array) -> Any:
    """Variables whose batch statistics are those of `images [B, H, W, 3]` in 0..1 alone.

    Every channel of a body with batch norm then has mean 0 and variance 1 over them, which makes
    even random weights usable.

    >>> body, images = vgg19(width=4, batch_norm=True), jnp.zeros((2, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> found = jax.eval_shape(lambda v: with_statistics(body, v, images), variables)
    >>> found["batch_stats"]["bn1_1"]["mean"].shape
    (4,)
    """
    plain = body.clone(norm=functools.partial(nn.BatchNorm, momentum=0.0), num_classes=None)

    @jax.jit
    def statistics(variables: Any, images: jax.Array) -> Any:
        x = ops.normalize(images)
        return plain.apply(variables, x, train=True, mutable=["batch_stats"])[1]

    return {**variables, **statistics(variables, images)}


def extract(body: Any, variables: Any, images: jax.Array, names: Sequence[str]) -> dict:
    """Features by name of images `[B, H, W, 3]` in 0..1; nothing above the highest is computed.

    >>> body, images = vgg19(width=4).clone(taps=("relu2_1",)), jnp.zeros((1, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> found = jax.eval_shape(lambda v: extract(body, v, images, ["relu2_1"]), variables)
    >>> found["relu2_1"].shape
    (1, 16, 24, 8)
    """
    return body.clone(taps=tuple(names)).apply(variables, ops.normalize(images), train=False)
