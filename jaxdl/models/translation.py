"""Translation by a GRU encoder and a GRU decoder, with or without attention.

The encoder reads the source both ways. A decoder step reads the token before and a context,
`s' = GRU([y, c], s)`. With attention c is the mean of the encoder's outputs, weighted by how they
match s (Bahdanau et al. 2015, arXiv:1409.0473); without, it is the encoder's two last states, the
same at every step (Cho et al. 2014, arXiv:1406.1078).

Legend: B examples, S source steps, T target steps, H hidden units; id 0 is padding, at the end.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl._rows import by_rows
from jaxdl.nn import (
    AdditiveAttention,
    Dense,
    DotAttention,
    Dropout,
    Embed,
    GRUCell,
    Recurrent,
    uniform,
)


class Memory(NamedTuple):
    """What the decoder knows of the source."""

    values: jax.Array  # [B, S, 2H] outputs of the encoder
    keys: jax.Array  # [B, S, H] their projections; without attention as the values
    mask: jax.Array  # [B, 1, S]
    summary: jax.Array  # [B, 2H] its last states, forward and backward


class DecoderStep(linen.Module):
    """One step of the decoder; the embedding's share of the input is projected outside."""

    hidden_size: int
    attention: Literal["additive", "dot"] | None
    cell: GRUCell

    def setup(self) -> None:
        H, init = self.hidden_size, uniform(self.hidden_size**-0.5)
        self.kernel_ch = self.param("kernel_ch", init, (2 * H, 3 * H))
        self.kernel_hh = self.param("kernel_hh", init, (H, 3 * H))
        self.hidden_bias = (
            {"bias_hn": self.param("bias_hn", init, (H,))} if self.cell.has_hidden_bias else {}
        )
        if self.attention is not None:
            layer = {"additive": AdditiveAttention, "dot": DotAttention}[self.attention]
            self.attend = layer(H)

    def project_keys(self, values: jax.Array) -> jax.Array:
        return values if self.attention is None else self.attend.project_keys(values)

    def __call__(
        self, h: jax.Array, a: jax.Array, memory: Memory
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Maps h `[B*K, H]` and a `[B*K, 3H]` to the next h, h again, and weights `[B*K, S]`.

        K > 1 beams that share a source ask the same memory.
        """
        B, S, width = memory.values.shape
        if self.attention is None:
            context = jnp.repeat(memory.summary, len(h) // B, axis=0)
            weights = jnp.zeros((len(h), S))
        else:
            queries = h.reshape(B, -1, self.hidden_size)
            context, weights = self.attend.attend(queries, memory.keys, memory.values, memory.mask)
            context, weights = context.reshape(-1, width), weights.reshape(-1, S)
        w = {"kernel_hh": self.kernel_hh, **self.hidden_bias}
        (h,), _ = self.cell.step(w, a + context @ self.kernel_ch, (h,))
        return h, (h, weights)


class Seq2Seq(linen.Module):
    """Encoder and decoder; called with the target it is taught (teacher forcing).

    >>> model, key = Seq2Seq(source_size=50, target_size=60), jax.random.key(0)
    >>> pair = jnp.ones((2, 7), int), jnp.ones((2, 5), int)  # source [B, S], target [B, T]
    >>> logits, weights = jax.eval_shape(lambda: model.init_with_output(key, *pair, train=False)[0])
    >>> logits.shape, weights.shape
    ((2, 5, 60), (2, 5, 7))

    Attributes:
        source_size, target_size: of the vocabularies.
        embed_dim, hidden_size: of both sides; the encoder has H units each way.
        attention: the score, or None for a context that never changes.
        dropout: of embeddings and before the last layer.
        cell: of encoder and decoder; `GRUCell(reset_after=False)` is that of the papers.
    """

    source_size: int
    target_size: int
    embed_dim: int = 64
    hidden_size: int = 128
    attention: Literal["additive", "dot"] | None = "additive"
    dropout: float = 0.0
    cell: GRUCell = GRUCell()

    def setup(self) -> None:
        init = linen.initializers.normal(self.embed_dim**-0.5)
        self.source = Embed(self.source_size, self.embed_dim, embedding_init=init)
        self.target = Embed(self.target_size, self.embed_dim, embedding_init=init)
        self.encoder = Recurrent(self.cell, self.hidden_size, bidirectional=True)
        self.bridge = Dense(self.hidden_size)
        self.project = Dense(3 * self.hidden_size)
        self.decoder = DecoderStep(self.hidden_size, self.attention, self.cell)
        self.head = Dense(self.target_size)
        self.drop = Dropout(self.dropout)

    carry_axis = 0  # of the decoder's state

    def encode(
        self, source: jax.Array, *, num_steps: int | None = None, train: bool
    ) -> tuple[Memory, jax.Array]:
        """Reads ids `[B, S]`; returns the memory and the decoder's first state `[B, H]`.

        The state has one size for any `num_steps`, which a `TransformerSeq2Seq` has to know.
        """
        if source.ndim != 2 or not jnp.issubdtype(source.dtype, jnp.integer):
            raise ValueError(f"source needs shape [B, S] and integers, got {source.shape}")
        lengths = jnp.sum(source > 0, axis=1)
        x = self.drop(self.source(source), train=train)
        values, (h,) = self.encoder(x, lengths=lengths, train=train)
        summary = jnp.concatenate([h[0], h[1]], axis=-1)
        keys = self.decoder.project_keys(values)
        memory = Memory(values, keys, (source > 0)[:, None, :], summary)
        return memory, jnp.tanh(self.bridge(summary))

    def step(self, memory: Memory, h: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One token `[B*K]` further: h `[B*K, H]` and logits `[B*K, V]`."""
        h, _ = self.decoder(h, self.project(self.target(token)), memory)
        return h, self.head(h)

    def __call__(
        self, source: jax.Array, target: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Maps ids `[B, S]` and the target so far `[B, T]`, from `<bos>` on, to what comes next.

        Returns: logits `[B, T, V]` and attention weights `[B, T, S]` (zeros without attention).
        """
        memory, h = self.encode(source, train=train)
        a = self.project(self.drop(self.target(target), train=train))
        if self.is_initializing():
            self.decoder(h, a[:, 0], memory)  # makes its parameters
        decoder, variables = self.decoder.unbind()

        def run(rows: Any, variables: Any) -> tuple[jax.Array, jax.Array]:
            h, a_BTG, memory = rows

            def step(h: jax.Array, a: jax.Array) -> Any:
                return decoder.apply(variables, h, a, memory)

            _, outputs = jax.lax.scan(step, h, jnp.swapaxes(a_BTG, 0, 1))
            return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), outputs)

        # Devices add up the gradients after the loop, not in every step of it.
        hs, weights = by_rows(run, (h, a, memory), variables)
        return self.head(self.drop(hs, train=train)), weights


def seq2seq_step(
    model: Any, params: Any, source: jax.Array, num_steps: int | None = None
) -> tuple[Callable[[Any, jax.Array], tuple[Any, jax.Array]], Any]:
    """The `step` and the carry that `jaxdl.decode` asks for, for sources `[B, S]`.

    Of a `Seq2Seq`, or of a `TransformerSeq2Seq`, whose carry is a cache for `num_steps` tokens and
    has its rows at `model.carry_axis`. The memory of the source is in the step's closure, not in
    the carry: beams share it.

    >>> model, source, token = Seq2Seq(50, 60), jnp.ones((2, 7), int), jnp.array([1, 1])
    >>> init = lambda: model.init(jax.random.key(0), source, token[:, None], train=False)["params"]
    >>> def first(params):
    ...     step, h = seq2seq_step(model, params, source)
    ...     return step(h, token)
    >>> h, logits = jax.eval_shape(first, jax.eval_shape(init))
    >>> h.shape, logits.shape
    ((2, 128), (2, 60))
    """
    variables = {"params": params}
    encoded: Any = model.apply(variables, source, num_steps=num_steps, train=False, method="encode")
    memory, h = encoded

    def step(h: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        stepped: Any = model.apply(variables, memory, h, token, method="step")
        return stepped

    return step, h
