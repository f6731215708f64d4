"""Style transfer: Gatys, Ecker & Bethge 2016, Image style transfer using convolutional networks.

    targets = style.targets(body, variables, content, pictures)       # images [B, H, W, 3] in 0..1
    painted, history = style.paint(body, variables, content, targets, steps=300)

The body is a VGG of this package, whose features tell what is where (content) and which textures
there are (style: Gram matrices). Only the image is changed. Every loss is one number per image, so
that B contents and styles are painted side by side; `jax.vmap` over targets does the same.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxdl import losses, nn, ops
from jaxdl.models import weights
from jaxdl.models.vgg import VGG, VGG19
from jaxdl.models.vgg import batch_norm as _batch_norm

CONTENT = ("relu4_4",)  # the last convolution of the fourth block
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # the first one of each block
WHERE = "torchvision's VGG-19 is https://download.pytorch.org/models/vgg19-dcbb9e9d.pth (548 MB)"
_ADAM = optax.scale_by_adam()


@struct.dataclass
class Targets:
    """What the painted image is held against."""

    content: dict[str, jax.Array]  # features [B, h, w, c]
    style: dict[str, jax.Array]  # Gram matrices [B, c, c]


class Balance(NamedTuple):
    """Weights of the three losses.

    >>> Balance(style=10.0)
    Balance(content=1.0, style=10.0, variation=1.0)
    """

    content: float = 1.0
    style: float = 1.0
    variation: float = 1.0


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
        x = ops.normalise(images)
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
    return body.clone(taps=tuple(names)).apply(variables, ops.normalise(images), train=False)


@functools.partial(jax.jit, static_argnames=("body", "content_names", "style_names"))
def targets(
    body: Any,
    variables: Any,
    content: jax.Array,
    style: jax.Array,
    *,
    content_names: Sequence[str] = CONTENT,
    style_names: Sequence[str] = STYLE,
) -> Targets:
    """Features of the content images and Gram matrices of the style images, taken once.

    >>> body, images = vgg19(width=4), jnp.zeros((1, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> held = jax.eval_shape(lambda v: targets(body, v, images, images), variables)
    >>> held.content["relu4_4"].shape, held.style["relu1_1"].shape
    ((1, 4, 6, 32), (1, 4, 4))

    Args:
        body: a VGG, ResNet or other model with `taps`.
        variables: its parameters (and statistics).
        content: `[B, H, W, 3]` in 0..1.
        style: `[B, h, w, 3]` in 0..1, of any size.
        content_names, style_names: features of the body, as tuples.
    """
    grams = extract(body, variables, style, style_names)
    return Targets(
        extract(body, variables, content, content_names),
        {name: losses.gram_matrix(x) for name, x in grams.items()},
    )


def parts(body: Any, variables: Any, images: jax.Array, targets: Targets) -> dict[str, jax.Array]:
    """The three losses of images `[B, H, W, 3]`, each `[B]`.

    "content" and "style" are the mean over their features of the mean squared error relative to
    the mean square of the target, so that every feature counts alike, whatever the body's scale; 0
    is the target itself. "variation" is the total variation per pixel and channel.

    >>> body, images = vgg19(width=4), jnp.zeros((2, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> found = lambda v: parts(body, v, images, targets(body, v, images, images))
    >>> {name: loss.shape for name, loss in jax.eval_shape(found, variables).items()}
    {'content': (2,), 'style': (2,), 'variation': (2,)}
    """
    found = extract(body, variables, images, (*targets.content, *targets.style))

    def relative(loss: Any, target: jax.Array, x: jax.Array) -> jax.Array:
        axes = tuple(range(1, target.ndim))
        return loss(x, target) / jnp.maximum(jnp.mean(target**2, axes), 1e-12)

    content = [relative(losses.content_loss, y, found[n]) for n, y in targets.content.items()]
    style = [relative(losses.style_loss, y, found[n]) for n, y in targets.style.items()]
    return {
        "content": jnp.mean(jnp.stack(content), axis=0),
        "style": jnp.mean(jnp.stack(style), axis=0),
        "variation": losses.total_variation(images) / images[0].size,
    }


def paint(
    body: Any,
    variables: Any,
    images: jax.Array,
    targets: Targets,
    *,
    steps: int,
    balance: Balance = Balance(),  # noqa: B008
    learning_rate: float = 0.02,
    driver: Literal["auto", "loop", "scan"] = "auto",
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Descends by Adam on the weighted sum of the losses, with the pixels kept in 0..1.

    >>> body, images = vgg19(width=4), jnp.zeros((1, 32, 48, 3))
    >>> variables = jax.eval_shape(lambda: body.init(jax.random.key(0), images, train=False))
    >>> run = lambda v: paint(body, v, images, targets(body, v, images, images), steps=9)
    >>> painted, history = jax.eval_shape(run, variables)
    >>> painted.shape, history["style"].shape
    ((1, 32, 48, 3), (9, 1))

    Args:
        body, variables: as for `targets`; what has batch norm uses its running averages.
        images: `[B, H, W, 3]` where to begin: the content, or noise.
        targets: from `targets`.
        steps: how many; one step is compiled once, whatever the weights and rates are.
        balance: weights of content, style and variation.
        learning_rate: of Adam, in units of the pixels, at the start of a cosine to zero.
        driver: 'scan' compiles all steps into one loop, 'loop' calls the compiled step. 'auto' is
            the loop on a CPU, where XLA's convolutions are slower inside a compiled loop,
            elsewhere the scan.
    Returns: the painted images, and for every part of the loss `[steps, B]`, before each step.
    Raises: ValueError if there are no steps or the driver is unknown.
    """
    if steps < 1 or driver not in ("auto", "loop", "scan"):
        raise ValueError(
            f"need steps of 1 or more and driver auto, loop or scan, got {steps}, {driver!r}"
        )
    if driver == "auto":
        driver = "loop" if jax.default_backend() == "cpu" else "scan"
    carry = (images, _ADAM.init(images))
    fixed = (variables, targets, balance, learning_rate, steps)
    if driver == "scan":
        (images, _), history = _scan(body, steps, fixed, carry)
        return images, history
    rows = []
    for _ in range(steps):
        carry, row = _step(body, fixed, carry)
        rows.append(row)
    return carry[0], jax.tree.map(lambda *values: jnp.stack(values), *rows)


@functools.partial(jax.jit, static_argnames="body")
def _step(body: Any, fixed: Any, carry: Any) -> Any:
    variables, targets, balance, learning_rate, steps = fixed
    images, state = carry

    def total(images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        found = parts(body, variables, images, targets)
        weighted = (weight * found[name] for name, weight in balance._asdict().items())
        return jnp.sum(sum(weighted)), found  # images do not touch each other

    gradient, found = jax.grad(total, has_aux=True)(images)
    rate = learning_rate * (1 + jnp.cos(jnp.pi * state.count / steps)) / 2
    updates, state = _ADAM.update(gradient, state)
    return (jnp.clip(images - rate * updates, 0, 1), state), found


@functools.partial(jax.jit, static_argnames=("body", "steps"))
def _scan(body: Any, steps: int, fixed: Any, carry: Any) -> Any:
    return jax.lax.scan(lambda carry, _: _step(body, fixed, carry), carry, length=steps)
