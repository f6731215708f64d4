"""A convolution's three products written for CPUs, where XLA's own are slow.

`experiments.benchmark` times them beside the peak of the machine. The patches of a few
thousand output pixels are laid out at a time, so that they stay in cache, and multiplied as one
matrix. Two layouts: channels last where there are many, and for few channels batch last, where the
logical transposes cost nothing because XLA carries the layout from layer to layer.

`x [N, H, W, C]`, `kernel [kh, kw, C, O]`, `g, y [N, oh, ow, O]`, one stride for both axes,
`pads ((top, bottom), (left, right))`.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl.ops._linear import bilinear_jvp, linear_map, vary_with

Pads = tuple[tuple[int, int], ...]  # of the two axes

PIXELS = 2048  # output pixels to a product, channels last: patches of some megabytes
MULTIPLIES = 2_000_000  # below this, nothing to gain
PATCH_BYTES = 3 << 20  # patches to a product, batch last


def xla_conv(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """XLA's own convolution."""
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def xla_input_gradient(
    g: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], stride: int, pads: Pads
) -> jax.Array:
    """The transpose of `xla_conv` in x; of its x only the shape is of importance."""
    x = vary_with((g, kernel), jnp.zeros(x_shape, g.dtype))
    return jax.linear_transpose(lambda x: xla_conv(x, kernel, stride, pads), x)(g)[0]


def xla_kernel_gradient(
    x: jax.Array, g: jax.Array, kernel_size: tuple[int, int], stride: int, pads: Pads
) -> jax.Array:
    """The transpose of `xla_conv` in the kernel."""
    kernel = vary_with((x, g), jnp.zeros((*kernel_size, x.shape[-1], g.shape[-1]), x.dtype))
    return jax.linear_transpose(lambda w: xla_conv(x, w, stride, pads), kernel)(g)[0]


def forward(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """The convolution, in the formulation that measured fastest for its shape."""
    kh, kw, C, O = kernel.shape
    if kh == kw == 1 and not any(sum(pads, ())):
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    if few_channels(x.shape, O, stride):
        return forward_batch_last(x, kernel, pads)
    if C <= 64:
        return forward_channels_last(x, kernel, stride, pads)
    return xla_conv(x, kernel, stride, pads)


def input_gradient(
    g: jax.Array, kernel: jax.Array, x_shape: tuple[int, ...], stride: int, pads: Pads
) -> jax.Array:
    """What the output gradient `g` is at the input."""
    kh, kw, _, O = kernel.shape
    if kh == kw == 1 and not any(sum(pads, ())):
        (H, W), (oh, ow) = x_shape[1:3], g.shape[1:3]
        edges = [(0, n - (m - 1) * stride - 1, stride - 1) for n, m in ((H, oh), (W, ow))]
        dx = g @ kernel[0, 0].T
        return lax.pad(dx, jnp.zeros((), g.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    if few_channels(x_shape, O, stride):
        return input_gradient_batch_last(g, kernel, x_shape, pads)
    if (64 if stride == 1 else 128) >= O:
        return input_gradient_channels_last(g, kernel, x_shape, stride, pads)
    return xla_input_gradient(g, kernel, x_shape, stride, pads)


def kernel_gradient(
    x: jax.Array, g: jax.Array, kernel_size: tuple[int, int], stride: int, pads: Pads
) -> jax.Array:
    """What the output gradient `g` is at the kernel."""
    kh, kw = kernel_size
    C, O = x.shape[-1], g.shape[-1]
    if kh == kw == 1 and not any(sum(pads, ())):
        return jnp.einsum("nhwc,nhwo->co", x[:, ::stride, ::stride], g)[None, None]
    if few_channels(x.shape, O, stride):
        return kernel_gradient_batch_last(x, g, kernel_size, pads)
    if C <= 128:
        return kernel_gradient_channels_last(x, g, kernel_size, stride, pads)
    return xla_kernel_gradient(x, g, kernel_size, stride, pads)


def bias_gradient(x_shape: tuple[int, ...], g: jax.Array, stride: int) -> jax.Array:
    """What the output gradient `g` is at the bias."""
    if few_channels(x_shape, g.shape[-1], stride):  # a sum would pull `g` out of its layout
        g = _to_batch_last(g).reshape(g.shape[-1], -1)
        return g @ jnp.ones(g.shape[1:], g.dtype)
    return jnp.sum(g, (0, 1, 2))


def few_channels(x_shape: tuple[int, ...], out_channels: int, stride: int) -> bool:
    """Whether the batch makes the better vector axis: it is long and the channels are few."""
    return stride == 1 and x_shape[0] >= 32 and x_shape[-1] <= 16 and out_channels <= 32


# Channels last: patches [pixels, kh kw C].


def _blocks(N: int, oh: int, ow: int) -> tuple[int, int]:
    """Images and output rows to a block of at most `PIXELS` pixels, dividing both evenly."""
    if oh * ow < PIXELS:
        return _divisor(N, PIXELS // (oh * ow)), oh
    return 1, _divisor(oh, PIXELS // ow)


def _divisor(n: int, most: int) -> int:
    """Greatest divisor of n not above `most`, at least 1."""
    return max(d for d in range(1, max(1, min(n, most)) + 1) if n % d == 0)


def _loop_blocks(x, size, stride, pads, out_size, carry, visit):
    """Folds `visit(carry, patches [P, kh kw C], image index, row index)` over the blocks of `x`."""
    (kh, kw), (oh, ow) = size, out_size
    N, C = x.shape[0], x.shape[-1]
    images, rows = _blocks(N, oh, ow)
    if rows < oh:  # blocks of rows overlap: pad once; blocks of images are padded in cache
        x, pads = jnp.pad(x, ((0, 0), *pads, (0, 0))), ((0, 0), (0, 0))
    height = x.shape[1] if rows == oh else (rows - 1) * stride + kh

    def body(b, carry):
        n, r = b // (oh // rows) * images, b % (oh // rows) * rows
        block = lax.dynamic_slice(x, (n, r * stride, 0, 0), (images, height, *x.shape[2:]))
        block = jnp.pad(block, ((0, 0), *pads, (0, 0)))
        tops = [slice(i, i + (rows - 1) * stride + 1, stride) for i in range(kh)]
        lefts = [slice(j, j + (ow - 1) * stride + 1, stride) for j in range(kw)]
        taps = [block[:, h, w] for h in tops for w in lefts]
        return visit(carry, jnp.concatenate(taps, axis=-1).reshape(-1, kh * kw * C), n, r)

    return lax.fori_loop(0, (N // images) * (oh // rows), body, carry)


def forward_channels_last(x, kernel, stride, pads):
    """The convolution as products over the patches of one block of output pixels at a time."""
    (kh, kw, _, O), N = kernel.shape, x.shape[0]
    oh, ow = _out_size(x.shape, kernel.shape, stride, pads)
    images, rows = _blocks(N, oh, ow)
    weights = kernel.reshape(-1, O)

    def visit(y, patches, n, r):
        block = (patches @ weights).reshape(images, rows, ow, O)
        return lax.dynamic_update_slice(y, block, (n, r, 0, 0))

    y = vary_with((x, kernel), jnp.zeros((N, oh, ow, O), x.dtype))
    return _loop_blocks(x, (kh, kw), stride, pads, (oh, ow), y, visit)


def kernel_gradient_channels_last(x, g, kernel_size, stride, pads):
    """The gradient at the kernel, `P^T G` summed over blocks of output pixels."""
    (N, oh, ow, O), (kh, kw) = g.shape, kernel_size
    images, rows = _blocks(N, oh, ow)

    def visit(dw, patches, n, r):
        block = lax.dynamic_slice(g, (n, r, 0, 0), (images, rows, ow, O)).reshape(-1, O)
        return dw + lax.dot_general(patches, block, (((0,), (0,)), ((), ())))

    dw = vary_with((x, g), jnp.zeros((kh * kw * x.shape[-1], O), x.dtype))
    dw = _loop_blocks(x, kernel_size, stride, pads, (oh, ow), dw, visit)
    return dw.reshape(kh, kw, -1, O)


def input_gradient_channels_last(g, kernel, x_shape, stride, pads):
    """One stride-1 convolution of `g` that yields all `stride^2` phases, then depth to space.

    With `u = s q + a` counting rows of the padded input, `dx[u] = sum_m g[q - m] kernel[a + s m]`.
    """
    O = kernel.shape[-1]
    conv = forward_channels_last if O <= 64 else xla_conv
    return by_phases(g, kernel, x_shape[1:3], stride, (pads[0][0], pads[1][0]), conv)


def by_phases(g, kernel, size, stride, start, conv=xla_conv):
    """The transpose of a convolution that read `size` pixels, padded by `start` at the top left.

    Nothing is multiplied by the zeros that a dilated input has between its pixels: XLA's own takes
    `stride^2` as many products on CPU.
    """
    s = stride
    (N, oh, ow, _), (kh, kw, C, O) = g.shape, kernel.shape
    (H, W), (top, left) = size, start
    mh, mw = math.ceil(kh / s), math.ceil(kw / s)  # taps of a phase
    kernel = jnp.pad(kernel, ((0, mh * s - kh), (0, mw * s - kw), (0, 0), (0, 0)))
    phases = kernel.reshape(mh, s, mw, s, C, O)[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    phases = phases.reshape(mh, mw, O, s * s * C)
    # Rows of q that the input needs: from the first one not cut off by the padding to the last.
    q0, r0 = top // s, left // s
    q1, r1 = (H + top - 1) // s + 1, (W + left - 1) // s + 1
    edges = ((0, 0), (mh - 1 - q0, q1 - oh), (mw - 1 - r0, r1 - ow), (0, 0))
    g = lax.pad(g, jnp.zeros((), g.dtype), [(a, b, 0) for a, b in edges])
    dx = conv(g, phases, 1, ((0, 0), (0, 0)))
    if s > 1:
        dx = dx.reshape(N, q1 - q0, r1 - r0, s, s, C).transpose(0, 1, 3, 2, 4, 5)
        dx = dx.reshape(N, (q1 - q0) * s, (r1 - r0) * s, C)
    top, left = top - q0 * s, left - r0 * s
    return dx[:, top : top + H, left : left + W]


# Batch last, stride 1: patches [kh kw C, pixels N]. Blocks are whole output rows.


def _to_batch_last(x: jax.Array) -> jax.Array:
    return jnp.transpose(x, (3, 1, 2, 0))  # and back again: the permutation is its own inverse


def _rows(size: tuple[int, int], C: int, oh: int, ow: int, N: int) -> int:
    return _divisor(oh, PATCH_BYTES // (4 * size[0] * size[1] * C * ow * N))


def _patches(x: jax.Array, size: tuple[int, int], rows: int, ow: int) -> jax.Array:
    (kh, kw), (C, _, _, N) = size, x.shape
    patches = jnp.zeros((kh, kw, C, rows, ow, N), x.dtype)  # filled in place: one copy, not two
    for i in range(kh):
        for j in range(kw):
            patches = patches.at[i, j].set(x[:, i : i + rows, j : j + ow])
    return patches.reshape(kh * kw * C, rows * ow * N)


def forward_batch_last(x, kernel, pads):
    """The convolution of few channels, with the batch as the last (vector) axis."""
    (kh, kw, C, O), (oh, ow) = kernel.shape, _out_size(x.shape, kernel.shape, 1, pads)
    x = jnp.pad(_to_batch_last(x), ((0, 0), *pads, (0, 0)))
    N, rows = x.shape[-1], _rows((kh, kw), C, oh, ow, x.shape[-1])
    weights = kernel.reshape(-1, O).T

    def body(b, y):
        block = lax.dynamic_slice_in_dim(x, b * rows, rows + kh - 1, axis=1)
        block = weights @ _patches(block, (kh, kw), rows, ow)
        return lax.dynamic_update_slice_in_dim(y, block.reshape(O, rows, ow, N), b * rows, axis=1)

    y = vary_with((x, kernel), jnp.zeros((O, oh, ow, N), x.dtype))
    return _to_batch_last(lax.fori_loop(0, oh // rows, body, y))


def kernel_gradient_batch_last(x, g, kernel_size, pads):
    """The gradient at the kernel for few channels, with the batch as the last axis."""
    x = jnp.pad(_to_batch_last(x), ((0, 0), *pads, (0, 0)))
    g = _to_batch_last(g)
    (kh, kw), C, (O, oh, ow, N) = kernel_size, x.shape[0], g.shape
    rows = _rows(kernel_size, C, oh, ow, N)

    def body(b, dw):
        block = lax.dynamic_slice_in_dim(x, b * rows, rows + kh - 1, axis=1)
        patches = _patches(block, kernel_size, rows, ow)
        slopes = lax.dynamic_slice_in_dim(g, b * rows, rows, axis=1).reshape(O, -1)
        return dw + lax.dot_general(patches, slopes, (((1,), (1,)), ((), ())))

    dw = vary_with((x, g), jnp.zeros((kh * kw * C, O), x.dtype))
    dw = lax.fori_loop(0, oh // rows, body, dw)
    return dw.reshape(kh, kw, C, O)


def input_gradient_batch_last(g, kernel, x_shape, pads):
    """The products of all taps at once, then added where each tap looked."""
    (_, H, W, C), (kh, kw, _, O) = x_shape, kernel.shape
    g = _to_batch_last(g)
    _, oh, ow, N = g.shape
    rows = _rows((kh, kw), C, oh, ow, N)
    weights = kernel.reshape(-1, O)
    (top, bottom), (left, right) = pads

    def body(b, dx):
        slopes = lax.dynamic_slice_in_dim(g, b * rows, rows, axis=1).reshape(O, -1)
        taps = (weights @ slopes).reshape(kh, kw, C, rows, ow, N)
        block = lax.dynamic_slice_in_dim(dx, b * rows, rows + kh - 1, axis=1)
        for i in range(kh):
            for j in range(kw):
                block = block.at[:, i : i + rows, j : j + ow].add(taps[i, j])
        return lax.dynamic_update_slice_in_dim(dx, block, b * rows, axis=1)

    dx = jnp.zeros((C, H + top + bottom, W + left + right, N), g.dtype)
    dx = vary_with((g, kernel), dx)
    dx = lax.fori_loop(0, oh // rows, body, dx)
    return _to_batch_last(dx[:, top : top + H, left : left + W])


def _out_size(x_shape, kernel_shape, stride, pads) -> tuple[int, int]:
    h, w = (
        (size + sum(pad) - k) // stride + 1
        for size, pad, k in zip(x_shape[1:3], pads, kernel_shape[:2], strict=True)
    )
    return h, w


# The three as functions with derivatives in both modes; other backends keep XLA's own convolution.
# Each is linear in both arguments, and the transpose of each is one of the other two.


def conv(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, stride: int, pads: Pads
) -> jax.Array:
    """`xla_conv` plus bias, with the formulations above on CPU, values and derivatives."""
    y = _product(x, kernel, stride, pads)
    if bias is None:
        return y
    bias = bias.astype(jnp.result_type(y, bias))  # its gradient is summed in the greater precision

    def spread(_: tuple[()], bias: jax.Array) -> jax.Array:
        return jnp.broadcast_to(bias[None, None, None], y.shape)

    def gather(_: tuple[()], g: jax.Array) -> jax.Array:
        return lax.platform_dependent(
            g,
            cpu=lambda g: bias_gradient(x.shape, g, stride),
            default=lambda g: jnp.sum(g, (0, 1, 2)),
        )

    return y + linear_map(spread, gather, (), bias)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _product(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: forward(x, kernel, stride, pads),
        default=lambda x, kernel: xla_conv(x, kernel, stride, pads),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _at_input(
    g: jax.Array, kernel: jax.Array, size: tuple[int, int], stride: int, pads: Pads
) -> jax.Array:
    shape = (g.shape[0], *size, kernel.shape[2])
    return lax.platform_dependent(
        g,
        kernel,
        cpu=lambda g, kernel: input_gradient(g, kernel, shape, stride, pads),
        default=lambda g, kernel: xla_input_gradient(g, kernel, shape, stride, pads),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _at_kernel(
    x: jax.Array, g: jax.Array, size: tuple[int, int], stride: int, pads: Pads
) -> jax.Array:
    return lax.platform_dependent(
        x,
        g,
        cpu=lambda x, g: kernel_gradient(x, g, size, stride, pads),
        default=lambda x, g: xla_kernel_gradient(x, g, size, stride, pads),
    )


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _(stride, pads, primals, tangents):
    x, kernel = primals
    return bilinear_jvp(
        lambda x, w: _product(x, w, stride, pads),
        lambda g, w: _at_input(g, w, x.shape[1:3], stride, pads),
        lambda x, g: _at_kernel(x, g, kernel.shape[:2], stride, pads),
        primals,
        tangents,
    )


@functools.partial(_at_input.defjvp, symbolic_zeros=True)
def _(size, stride, pads, primals, tangents):
    kernel_size = primals[1].shape[:2]
    return bilinear_jvp(
        lambda g, w: _at_input(g, w, size, stride, pads),
        lambda x, w: _product(x, w, stride, pads),
        lambda g, x: _at_kernel(x, g, kernel_size, stride, pads),
        primals,
        tangents,
    )


@functools.partial(_at_kernel.defjvp, symbolic_zeros=True)
def _(size, stride, pads, primals, tangents):
    x_size = primals[0].shape[1:3]
    return bilinear_jvp(
        lambda x, g: _at_kernel(x, g, size, stride, pads),
        lambda w, g: _at_input(g, w, x_size, stride, pads),
        lambda x, w: _product(x, w, stride, pads),
        primals,
        tangents,
    )


def gains(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], stride: int, pads: Pads) -> bool:
    """Whether `conv` is worth its longer compilation on CPU: a product gains, on enough work."""
    kh, kw, C, O = kernel_shape
    if not isinstance(x_shape[0], int):  # exported for a batch of any size
        return False
    if any(not 0 <= p < k for pad, k in zip(pads, (kh, kw), strict=True) for p in pad):
        return False
    oh, ow = _out_size(x_shape, kernel_shape, stride, pads)
    pixels = x_shape[0] * oh * ow
    wide = kh * kw > 1 and C > 128 and (64 if stride == 1 else 128) < O
    return pixels >= PIXELS and pixels * kh * kw * C * O >= MULTIPLIES and not wide
