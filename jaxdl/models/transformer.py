"""Transformers: a decoder that reads and writes, a classifier of sequences, and one of images.

Pre-norm blocks throughout (Xiong et al. 2020, arXiv:2002.04745). B examples, T tokens, D the width,
N heads of the queries, K of keys and values, H = D / N the width of a head, V the vocabulary.

    model = GPT2()                                       # 124 M parameters, tied head
    logits, _ = model.apply(variables, tokens, train=False)
    cache = model.initial_state(batch_size, size=1024)   # keys and values read so far
    logits, cache = model.apply(variables, prompt, cache, train=False)
    decode.generate(models.token_step(model, params), cache, logits[:, -1], key, 100)
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.ad_checkpoint import checkpoint_name

from jaxdl import nn, ops
from jaxdl.models.sentiment import Vectors, Words


@struct.dataclass
class Cache:
    """Keys and values of what was read, of L layers, and how much that is."""

    keys: jax.Array  # [L, B, S, K, H]
    values: jax.Array  # [L, B, S, K, H]
    lengths: jax.Array  # [B] int32, at most S


CACHE_AXES: Any = Cache(1, 1, 0)  # type: ignore[arg-type]  # where B is, for `jaxdl.decode`


_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
}


def nan_where_full(x: jax.Array, cache: Cache) -> jax.Array:
    """NaN in the rows of x `[B, T, D]` whose tokens found no room; an error where that is known."""
    size = cache.keys.shape[2]
    over = cache.lengths > size
    if not isinstance(over, jax.core.Tracer) and over.any():
        raise ValueError(f"a cache of {size} is full: {int(cache.lengths.max())} tokens were read")
    return jnp.where(over[:, None, None], jnp.nan, x)


class Block(linen.Module):
    """Attention and a layer of two (or, gated, three) products, each with its residual.

    >>> block, x = Block(2, 8), jnp.zeros((1, 3, 4))
    >>> make = lambda: block.init_with_output(jax.random.key(0), x, train=False)
    >>> (y, _), _ = jax.eval_shape(make)
    >>> y.shape
    (1, 3, 4)
    """

    num_heads: int  # N
    mlp_dim: int
    num_kv_heads: int | None = None  # K, which divides N; N by default
    norm: Literal["layer", "rms"] = "layer"
    activation: Literal["gelu", "gelu_tanh", "relu", "swiglu"] = "gelu"
    rotary: float | None = None  # base of rotary positions (Su et al. 2021); None has none
    causal: bool = False
    window: int | None = None  # a token sees those less than so far away
    soft_cap: float | None = None
    use_bias: bool = True
    dropout: float = 0.0
    epsilon: float = 1e-5
    depth: int = 1  # layers of the stack, by which the weights that write to it begin smaller
    axis_name: str | None = None  # of a mesh along which sequences are cut, see `ops.attention`

    @linen.compact
    def __call__(
        self,
        x: jax.Array,
        cached: tuple[jax.Array, jax.Array] | None = None,
        *,
        positions: jax.Array | None = None,
        lengths: jax.Array | None = None,
        segments: jax.Array | None = None,
        memory: Any = None,
        memory_lengths: jax.Array | None = None,
        train: bool,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array] | None]:
        """Maps `[B, T, D]` to its own shape; with a cache, `[B, S, K, H]` each, to a fuller one.

        With a memory, `[M, S, D]` or its keys and values `[M, S, K, H]`, it is looked at in between
        (Vaswani et al. 2017); B = M, or several rows of B ask the same one (beams).
        """
        x = checkpoint_name(x, "block")  # what `train.make(remat="block")` keeps
        D = x.shape[-1]
        if D % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide a width of {D}")
        H, K = D // self.num_heads, self.num_kv_heads or self.num_heads
        drop = linen.Dropout(self.dropout, deterministic=not train)
        small = linen.initializers.normal(0.02 / math.sqrt(2 * self.depth))

        def dense(features: int, name: str, init: Any = None) -> nn.Dense:
            init = init or linen.initializers.normal(0.02)
            return nn.Dense(features, use_bias=self.use_bias, kernel_init=init, name=name)

        y = _norm(self, "norm1")(x)
        query = dense(D, "query")(y).reshape(*y.shape[:-1], self.num_heads, H)
        key, value = (dense(K * H, n)(y).reshape(*y.shape[:-1], K, H) for n in ("key", "value"))
        if self.rotary is not None:
            query, key = (rotated(a, positions, self.rotary) for a in (query, key))
        if cached is not None and positions is not None:
            rows = jnp.arange(len(x))[:, None]
            key, value = (
                old.at[rows, positions].set(new.astype(old.dtype), mode="drop")
                for old, new in zip(cached, (key, value), strict=True)
            )
            cached = (key, value)
        y = ops.attention(
            query,
            key,
            value,
            causal=self.causal,
            window=self.window,
            soft_cap=self.soft_cap,
            positions=positions if cached is not None else None,
            lengths=lengths if cached is None else None,
            segments=segments,
            axis_name=self.axis_name,
        )
        y = checkpoint_name(y, "attention")
        x = x + drop(dense(D, "out", small)(y.reshape(*y.shape[:-2], D)))
        if memory is not None:
            query = dense(D, "memory_query")(_norm(self, "memory_norm")(x))
            if not isinstance(memory, tuple):
                heads = (*memory.shape[:-1], K, H)
                memory = tuple(
                    dense(K * H, name)(memory).reshape(heads)
                    for name in ("memory_key", "memory_value")
                )
            query = query.reshape(len(memory[0]), -1, self.num_heads, H)
            y = ops.attention(query, *memory, lengths=memory_lengths)
            x = x + drop(dense(D, "memory_out", small)(y.reshape(x.shape)))
        y = _norm(self, "norm2")(x)
        if self.activation == "swiglu":
            y = jax.nn.silu(dense(self.mlp_dim, "gate")(y)) * dense(self.mlp_dim, "up")(y)
        else:
            y = _ACTIVATIONS[self.activation](dense(self.mlp_dim, "up")(y))
        return x + drop(dense(D, "down", small)(y)), cached


def _norm(module: Any, name: str) -> linen.Module:
    kind = linen.LayerNorm if module.norm == "layer" else linen.RMSNorm
    return kind(epsilon=module.epsilon, name=name)


def rotated(x: jax.Array, positions: jax.Array | None, base: float) -> jax.Array:
    """Turns pairs of features by an angle that grows with the position; products see distances.

    Feature i of the first half pairs with feature i of the second, as in Llama's weights.

    >>> x = jnp.array([[[[1.0, 0.0]], [[1.0, 0.0]]]])
    >>> rotated(x, None, 10_000.0)[0, :, 0].round(3)  # the second one by an angle of 1
    Array([[1.  , 0.  ],
           [0.54, 0.841]], dtype=float32)

    Args:
        x: `[B, T, N, H]`, H even.
        positions: `[B, T]`; `0..T-1` by default.
    """
    H = x.shape[-1]
    if H % 2:
        raise ValueError(f"rotary positions need heads of even width, got {H}")
    at = jnp.arange(x.shape[1])[None] if positions is None else positions
    rates = jnp.asarray(base ** (-np.arange(H // 2) / (H // 2)), jnp.float32)
    angle = (at[..., None].astype(jnp.float32) * rates[None, None])[:, :, None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


class Stack(linen.Module):
    """L blocks, compiled once: their weights are stacked on a leading axis.

    So are the caches, and the keys and values of memories, where there are any.
    """

    make_block: Callable[..., Block]
    num_layers: int
    remat: bool = False

    @linen.compact
    def __call__(
        self, x: jax.Array, caches: Any = None, memories: Any = None, *, train: bool, **sight: Any
    ) -> Any:
        def body(block: Block, x: jax.Array, of_layer: Any) -> tuple[jax.Array, Any]:
            cached, memory = of_layer
            own = {} if memory is None else {"memory": memory}
            return block(x, cached, train=train, **{**sight, **own})

        if self.remat:
            body = linen.remat(body, prevent_cse=False)
        scan = linen.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=self.num_layers,
        )
        block = self.make_block(depth=self.num_layers, name="block")
        return scan(block, x, (caches, memories))


class Transformer(linen.Module):
    """A decoder: predicts the next token from those before it.

    The defaults are GPT-2's; with `norm="rms"`, `activation="swiglu"`, `rotary=10_000.0`,
    `context=None` and `use_bias=False` it is Llama's form.

    >>> model, tokens = Transformer(11, dim=8, num_layers=2, num_heads=2), jnp.zeros((1, 5), int)
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), tokens, train=False))
    >>> logits, cache = jax.eval_shape(lambda v: model.apply(v, tokens, train=False), variables)
    >>> logits.shape, cache
    ((1, 5, 11), None)

    Texts too long for one device are cut along an axis of a mesh: inside `jax.shard_map`, a model
    with that `axis_name` (`model.clone(axis_name="model")`; parameters are made without it) maps
    each device's part to its logits, while keys and values go around. `parallel.psum_objective`
    over all axes along which the batch is cut makes of it the loss of the whole.
    """

    vocab_size: int  # V
    context: int | None = 1024  # longest text, of learned positions; None needs `rotary`
    dim: int = 768  # D
    num_layers: int = 12
    num_heads: int = 12
    num_kv_heads: int | None = None
    mlp_dim: int | None = None  # 4 D by default
    norm: Literal["layer", "rms"] = "layer"
    activation: Literal["gelu", "gelu_tanh", "relu", "swiglu"] = "gelu_tanh"
    rotary: float | None = None
    window: int | None = None
    soft_cap: float | None = None
    use_bias: bool = True
    tied: bool = True  # the head is the embedding transposed
    dropout: float = 0.0
    epsilon: float = 1e-5
    remat: bool = False  # keep only what lies between blocks for the backward pass
    axis_name: str | None = None  # of a mesh along which texts are cut

    @linen.compact
    def __call__(
        self,
        tokens: jax.Array,
        cache: Cache | None = None,
        *,
        lengths: jax.Array | None = None,
        segments: jax.Array | None = None,
        train: bool,
    ) -> tuple[jax.Array, Cache | None]:
        """Maps ids `[B, T]` to logits of the next tokens `[B, T, V]`.

        Args:
            tokens: integers `[B, T]`.
            cache: from `initial_state` or the call before; the tokens then follow what it holds.
            lengths: `[B]`, how many of the tokens are real; T by default.
            segments: `[B, T]`, several texts in a row that do not see each other; 0 is padding.
                Positions begin anew in each, so that a text reads as it does alone.
            train: whether dropout is applied.
        Returns: logits, and the cache with these tokens in it, or None.
        Raises: ValueError for shapes that do not fit, and for more tokens than the context or the
            cache has room for. While tracing shapes alone tell; logits of rows that overflow a
            cache there are NaN.
        """
        if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise ValueError(f"tokens need shape [B, T] and integers, got {tokens.shape}")
        if self.context is None and self.rotary is None:
            raise ValueError("positions are either learned (context) or rotary: give one of them")
        B, T = tokens.shape
        parts = 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)
        if self.context is not None and self.context < parts * T:
            raise ValueError(f"{parts * T} tokens are more than the context of {self.context}")
        if cache is not None and self.axis_name is not None:
            raise ValueError("texts that are cut along an axis are for training, without a cache")
        if cache is not None and cache.keys.shape[2] < T:
            raise ValueError(f"{T} tokens are more than the cache of {cache.keys.shape[2]}")
        if cache is not None and segments is not None:
            raise ValueError("segments are for training; a cache holds one text a row")
        start = jnp.zeros((B, 1), jnp.int32) if cache is None else cache.lengths[:, None]
        positions = start + jnp.arange(T, dtype=jnp.int32)[None]
        if self.axis_name is not None:
            positions = positions + T * jax.lax.axis_index(self.axis_name)
        if segments is not None:
            positions = _since_change(segments, self.axis_name)
        init = linen.initializers.normal(0.02)
        embed = nn.Embed(self.vocab_size, self.dim, embedding_init=init, name="embed")
        x = embed(tokens)
        if self.context is not None:
            table = self.param(
                "positions", linen.initializers.normal(0.01), (self.context, self.dim)
            )
            x = x + jnp.take(table, positions, axis=0, mode="clip").astype(x.dtype)
        x = linen.Dropout(self.dropout, deterministic=not train)(x)
        block = functools.partial(
            Block,
            self.num_heads,
            self.mlp_dim or 4 * self.dim,
            num_kv_heads=self.num_kv_heads,
            norm=self.norm,
            activation=self.activation,
            rotary=self.rotary,
            causal=True,
            window=self.window,
            soft_cap=self.soft_cap,
            use_bias=self.use_bias,
            dropout=self.dropout,
            epsilon=self.epsilon,
            axis_name=self.axis_name,
        )
        stack = Stack(block, self.num_layers, self.remat, name="stack")
        before = None if cache is None else (cache.keys, cache.values)
        x, after = stack(
            x, before, train=train, positions=positions, lengths=lengths, segments=segments
        )
        x = _norm(self, "norm")(x)
        if cache is not None and after is not None:
            read = jnp.full((B,), T, jnp.int32) if lengths is None else lengths
            cache = Cache(after[0], after[1], cache.lengths + read)
            x = nan_where_full(x, cache)
        if self.tied:
            return nn.contract_last(x, embed.embedding.T.astype(x.dtype)), cache
        head = nn.Dense(self.vocab_size, use_bias=False, kernel_init=init, name="head")
        return head(x), cache

    @property
    def carry_axis(self) -> Any:
        """Where a cache has its rows; `jaxdl.decode` asks for it."""
        return CACHE_AXES

    def initial_state(self, batch_size: int, size: int | None = None, dtype: Any = None) -> Cache:
        """An empty cache for `size` tokens, the context by default.

        Raises: ValueError for more than the context, or without either.
        """
        size = size or self.context
        if size is None or (self.context is not None and size > self.context):
            raise ValueError(f"a cache of {size} does not fit a context of {self.context}")
        kv_heads = self.num_kv_heads or self.num_heads
        shape = (self.num_layers, batch_size, size, kv_heads, self.dim // self.num_heads)
        zeros = jnp.zeros(shape, dtype or jnp.float32)
        return Cache(zeros, zeros, jnp.zeros(batch_size, jnp.int32))


def _since_change(segments: jax.Array, axis_name: str | None) -> jax.Array:
    """How many places of a row `[B, T]` lie before each one in its own segment."""
    T = segments.shape[1]
    if axis_name is not None:  # a segment may have begun on another device
        segments = jax.lax.all_gather(segments, axis_name, axis=1, tiled=True)
    at = jnp.arange(segments.shape[1], dtype=jnp.int32)[None]
    before = jnp.pad(segments[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    found = at - jax.lax.cummax(jnp.where(segments != before, at, 0), axis=1)
    if axis_name is None:
        return found
    return jax.lax.dynamic_slice_in_dim(found, T * jax.lax.axis_index(axis_name), T, axis=1)


class TransformerClassifier(linen.Module):
    """An encoder and a dense layer over the mean of its outputs; 0 is padding, at the end.

    >>> model, key = TransformerClassifier(100, dim=8, num_layers=1, num_heads=2), jax.random.key(0)
    >>> tokens = jnp.array([[5, 8, 3, 0, 0]])
    >>> variables = jax.eval_shape(lambda: model.init(key, tokens, train=False))
    >>> jax.eval_shape(lambda v: model.apply(v, tokens, train=False), variables).shape
    (1, 2)
    """

    vocab_size: int
    num_classes: int = 2
    dim: int = 128
    num_layers: int = 2
    num_heads: int = 4
    dropout: float = 0.1
    vectors: Vectors = "tuned"  # word vectors that are trained, "frozen", or "both" (2D wide)

    @linen.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """Maps ids `[B, T]` to logits `[B, K]`; a row of padding alone reads as zeros."""
        x = Words(self.vocab_size, self.dim, self.vectors, name="words")(tokens)
        lengths = jnp.sum(tokens > 0, axis=1)
        block = functools.partial(
            Block, self.num_heads, 4 * x.shape[-1], rotary=10_000.0, dropout=self.dropout
        )
        x = linen.Dropout(self.dropout, deterministic=not train)(x)
        x, _ = Stack(block, self.num_layers, name="stack")(x, lengths=lengths, train=train)
        x = linen.LayerNorm(epsilon=1e-5, name="norm")(x)
        real = (jnp.arange(x.shape[1])[None] < lengths[:, None])[..., None]
        mean = jnp.sum(jnp.where(real, x, 0), axis=1) / jnp.maximum(lengths, 1)[:, None]
        return nn.Dense(self.num_classes, name="head")(mean)


class ViT(linen.Module):
    """Vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929): patches as tokens.

    >>> model, images = ViT(10, patch=4, dim=8, num_layers=1, num_heads=2), jnp.zeros((2, 8, 8, 1))
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    >>> jax.eval_shape(lambda v: model.apply(v, images, train=False), variables).shape
    (2, 10)
    """

    num_classes: int
    patch: int = 16  # side of the patches, which divides that of the images
    dim: int = 384
    num_layers: int = 12
    num_heads: int = 6
    mlp_dim: int | None = None  # 4 D by default
    dropout: float = 0.0
    remat: bool = False

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[B, H, W, C]` to logits `[B, num_classes]`, read at a token of their own."""
        if x.ndim != 4 or x.shape[1] % self.patch or x.shape[2] % self.patch:
            raise ValueError(f"need [B, H, W, C] of whole patches of {self.patch}, got {x.shape}")
        side = (self.patch, self.patch)
        x = linen.Conv(self.dim, side, side, padding="VALID", name="patches")(x)
        x = x.reshape(x.shape[0], -1, self.dim)
        init = linen.initializers.normal(0.02)
        own = self.param("class_token", linen.initializers.zeros, (1, 1, self.dim))
        own = jnp.broadcast_to(own.astype(x.dtype), (x.shape[0], 1, self.dim))
        x = jnp.concatenate([own, x], axis=1)
        table = self.param("positions", init, (x.shape[1], self.dim))
        x = x + table[None].astype(x.dtype)
        x = linen.Dropout(self.dropout, deterministic=not train)(x)
        width = self.mlp_dim or 4 * self.dim
        block = functools.partial(Block, self.num_heads, width, dropout=self.dropout, epsilon=1e-6)
        x, _ = Stack(block, self.num_layers, self.remat, name="stack")(x, train=train)
        x = linen.LayerNorm(epsilon=1e-6, name="norm")(x)
        return nn.Dense(self.num_classes, name="head")(x[:, 0])


# Radford et al. 2019; Brown et al. 2020, table 2.1 (the row of 1.3 billion, with heads of 128).
GPT2 = functools.partial(Transformer, 50257)
GPT_1300M = functools.partial(
    Transformer, 50257, context=2048, dim=2048, num_layers=24, num_heads=16
)
ViT_S16 = functools.partial(ViT, 1000)  # Steiner et al. 2021, arXiv:2106.10270
