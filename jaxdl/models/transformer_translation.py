"""Translation by transformers: an encoder, and a decoder that looks at what it read.

Vaswani et al. 2017, arXiv:1706.03762, with the norms before the layers (Xiong et al. 2020).
B examples, S source steps, T target steps, D the width, L layers; id 0 is padding, at the end.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import nn
from jaxdl.models.transformer import CACHE_AXES, Block, Cache, Stack, nan_where_full


class Source(NamedTuple):
    """What the decoder's layers look at."""

    keys: jax.Array  # [L, B, S, N, H]
    values: jax.Array  # [L, B, S, N, H]
    lengths: jax.Array  # [B]


def sinusoid(positions: jax.Array, dim: int) -> jax.Array:
    """Sines, then cosines, of wavelengths from 2 pi to 10,000 times that.

    >>> sinusoid(jnp.array([0, 1]), 4).round(2)
    Array([[0.  , 0.  , 1.  , 1.  ],
           [0.84, 0.01, 0.54, 1.  ]], dtype=float32)

    Args:
        positions: integers `[...]`.
        dim: D, even.
    Returns: `[..., D]`.
    """
    if dim % 2:
        raise ValueError(f"sines and cosines come in pairs, got a width of {dim}")
    rates = jnp.asarray(10_000.0 ** (-np.arange(dim // 2) / (dim // 2)), jnp.float32)
    angle = positions[..., None].astype(jnp.float32) * jnp.broadcast_to(
        rates, (*positions.shape, dim // 2)
    )
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class TransformerSeq2Seq(linen.Module):
    """Encoder and decoder; called with the target it is taught, as `Seq2Seq` is.

    >>> model, key = TransformerSeq2Seq(50, 60, dim=8, num_layers=1, num_heads=2), jax.random.key(0)
    >>> pair = jnp.ones((2, 7), int), jnp.ones((2, 5), int)  # source [B, S], target [B, T]
    >>> logits, _ = jax.eval_shape(lambda: model.init_with_output(key, *pair, train=False)[0])
    >>> logits.shape
    (2, 5, 60)

    Attributes:
        source_size, target_size: of the vocabularies.
        dim, num_layers, num_heads: of both sides; `mlp_dim` is 4 D by default.
        dropout: of embeddings and of what layers add.
        shared: one vocabulary, one table for both sides and the last layer.
        remat: keep only what lies between layers for the backward pass.
    """

    source_size: int
    target_size: int
    dim: int = 512
    num_layers: int = 6
    num_heads: int = 8
    mlp_dim: int | None = None
    dropout: float = 0.0
    shared: bool = False
    epsilon: float = 1e-5
    remat: bool = False

    attention = None  # no map is kept

    def setup(self) -> None:
        if self.shared and self.source_size != self.target_size:
            raise ValueError(
                "a shared table needs one vocabulary, got sizes of "
                f"{self.source_size} and {self.target_size}"
            )
        init = linen.initializers.normal(self.dim**-0.5)
        self.target = nn.Embed(self.target_size, self.dim, embedding_init=init)
        if not self.shared:
            self.source = nn.Embed(self.source_size, self.dim, embedding_init=init)
            self.head = nn.Dense(self.target_size)
        block = functools.partial(
            Block,
            self.num_heads,
            self.mlp_dim or 4 * self.dim,
            activation="relu",
            dropout=self.dropout,
            epsilon=self.epsilon,
        )
        self.encoder = Stack(block, self.num_layers, self.remat)
        self.decoder = Stack(functools.partial(block, causal=True), self.num_layers, self.remat)
        self.encoder_norm = linen.LayerNorm(epsilon=self.epsilon)
        self.decoder_norm = linen.LayerNorm(epsilon=self.epsilon)
        self.drop = nn.Dropout(self.dropout)

    def embed(self, ids: jax.Array, table: nn.Embed, start: Any = 0, *, train: bool) -> jax.Array:
        at = start + jnp.arange(ids.shape[1], dtype=jnp.int32)[None]
        x = table(ids) * self.dim**0.5
        return self.drop(x + sinusoid(at, self.dim).astype(x.dtype), train=train)

    def read(self, source: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """The encoder's outputs `[B, S, D]` for ids `[B, S]`, and how many are real `[B]`."""
        if source.ndim != 2 or not jnp.issubdtype(source.dtype, jnp.integer):
            raise ValueError(f"source needs shape [B, S] and integers, got {source.shape}")
        lengths = jnp.sum(source > 0, axis=1)
        x = self.embed(source, self.target if self.shared else self.source, train=train)
        x, _ = self.encoder(x, lengths=lengths, train=train)
        return self.encoder_norm(x), lengths

    def logits(self, x: jax.Array) -> jax.Array:
        x = self.decoder_norm(x)
        if not self.shared:
            return self.head(x)
        return nn.contract_last(x, self.target.embedding.T.astype(x.dtype))

    def encode(
        self, source: jax.Array, *, num_steps: int | None = None, train: bool
    ) -> tuple[Source, Cache]:
        """Reads ids `[B, S]`: keys and values for every layer, and an empty cache of steps."""
        if num_steps is None:
            raise ValueError("a transformer needs num_steps, the size of its cache")
        x, lengths = self.read(source, train=train)
        params = self.decoder.variables["params"]["block"]
        B, S, H = *source.shape, self.dim // self.num_heads

        def heads(name: str) -> jax.Array:
            kernel, bias = params[name]["kernel"], params[name]["bias"]  # [L, D, N H], [L, N H]
            y = jnp.einsum("bsd,ldh->lbsh", x, kernel) + bias[:, None, None]
            return y.reshape(self.num_layers, B, S, self.num_heads, H)

        shape = (self.num_layers, B, num_steps, self.num_heads, H)
        cache = Cache(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(B, jnp.int32))
        return Source(heads("memory_key"), heads("memory_value"), lengths), cache

    def step(self, source: Source, cache: Cache, token: jax.Array) -> tuple[Cache, jax.Array]:
        """One token `[B*K]` further: a fuller cache and logits `[B*K, V]`."""
        start = cache.lengths[:, None]
        x, (keys, values) = self.decoder(
            self.embed(token[:, None], self.target, start, train=False),
            (cache.keys, cache.values),
            (source.keys, source.values),
            positions=start,
            memory_lengths=source.lengths,
            train=False,
        )
        cache = Cache(keys, values, cache.lengths + 1)
        return cache, self.logits(nan_where_full(x, cache))[:, 0]

    @property
    def carry_axis(self) -> Any:
        """Where a cache has its rows; `jaxdl.decode` asks for it."""
        return CACHE_AXES

    def __call__(
        self, source: jax.Array, target: jax.Array, *, train: bool
    ) -> tuple[jax.Array, None]:
        """Maps ids `[B, S]` and the target so far `[B, T]`, from `<bos>` on, to what comes next.

        Returns: logits `[B, T, V]`, and None where `Seq2Seq` has a map of its attention.
        """
        memory, lengths = self.read(source, train=train)
        x, _ = self.decoder(
            self.embed(target, self.target, train=train),
            memory=memory,
            memory_lengths=lengths,
            train=train,
        )
        return self.logits(x), None


# Vaswani et al. 2017, table 3: "base", one table of 37,000 parts of words.
TransformerBase: Callable[..., TransformerSeq2Seq] = functools.partial(
    TransformerSeq2Seq, 37_000, 37_000, mlp_dim=2048, dropout=0.1, shared=True
)
