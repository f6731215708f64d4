"""Recurrent language models: each token's distribution from all tokens before it.

Zaremba et al., Recurrent neural network regularization, 2014, arXiv:1409.2329 (`LSTMSmall`,
`LSTMMedium`, `LSTMLarge`); tied embeddings after Press & Wolf 2017, arXiv:1608.05859.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from jaxdl.nn import Cell, Dense, Embed, GRUCell, LSTMCell, Recurrent, uniform
from jaxdl.nn._cells import State


class LanguageModel(linen.Module):
    """Embedding or one-hot, recurrent layers, one dense layer to the vocabulary.

    One way only: a backward layer would see the token it is to predict.

    >>> model, key = LanguageModel(vocab_size=28), jax.random.key(0)
    >>> tokens = jnp.zeros((2, 32), int)
    >>> (logits, (h,)), _ = jax.eval_shape(lambda: model.init_with_output(key, tokens, train=False))
    >>> logits.shape, h.shape
    ((2, 32, 28), (1, 2, 256))

    Attributes:
        vocab_size: V.
        cell: of the recurrent layers, `RNNCell()`, `GRUCell()` or `LSTMCell()`.
        hidden_size, num_layers: of the recurrent layers.
        embed_dim: width of a learned embedding; None feeds one-hot vectors.
        tied: whether the dense layer is the embedding transposed (`embed_dim` = `hidden_size`).
        dropout: after the embedding, between layers and before the dense layer.
        init_scale: all weights from `U(-init_scale, init_scale)`; None takes each layer's default.
    """

    vocab_size: int
    cell: Cell = GRUCell()
    hidden_size: int = 256
    num_layers: int = 1
    embed_dim: int | None = None
    tied: bool = False
    dropout: float = 0.0
    init_scale: float | None = None

    @linen.compact
    def __call__(
        self,
        tokens: jax.Array,
        state: State | None = None,
        *,
        lengths: jax.Array | None = None,
        train: bool,
    ) -> tuple[jax.Array, State]:
        """Maps ids `[B, T]` to logits of the next tokens `[B, T, V]` and the state after them.

        `state` is that of `Recurrent`, zeros by default; ids outside 0..V-1 are undefined.
        """
        if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise ValueError(f"tokens need shape [B, T] and integers, got {tokens.shape}")
        if self.tied and self.embed_dim != self.hidden_size:
            raise ValueError(
                f"tied weights need embed_dim = hidden_size, got {self.embed_dim} "
                f"and {self.hidden_size}"
            )
        init = None if self.init_scale is None else uniform(self.init_scale)
        drop = linen.Dropout(self.dropout, deterministic=not train)
        tokens_TB = tokens.T  # time first: two transpositions of ids, not of features
        if self.embed_dim is None:
            x_TBD = jax.nn.one_hot(tokens_TB, self.vocab_size)
        else:
            embed_init = init or linen.initializers.normal(self.embed_dim**-0.5)
            embed = Embed(
                self.vocab_size,
                self.embed_dim,
                embedding_init=embed_init,
                batch_axis=1,
                name="embed",
            )
            x_TBD = drop(embed(tokens_TB))
        h_TBH, state = Recurrent(
            self.cell,
            self.hidden_size,
            self.num_layers,
            dropout=self.dropout,
            time_major=True,
            kernel_init=init,
            recurrent_init=init,
            bias_init=init,
            name="recurrent",
        )(x_TBD, state, lengths=lengths, train=train)
        h_TBH = drop(h_TBH)
        if self.tied:
            logits_TBV = embed.attend(h_TBH)
            bias = self.param("bias", linen.initializers.zeros, (self.vocab_size,))
            logits_TBV = logits_TBV + jnp.broadcast_to(bias, logits_TBV.shape)
        else:
            head_init = init or linen.initializers.lecun_normal()
            head = Dense(self.vocab_size, kernel_init=head_init, batch_axis=1, name="head")
            logits_TBV = head(h_TBH)
        return jnp.swapaxes(logits_TBV, 0, 1), state

    def initial_state(self, batch_size: int) -> State:
        """Zeros, one array `[num_layers, B, H]` for each of the cell's states."""
        shape = (self.num_layers, batch_size, self.hidden_size)
        return tuple(jnp.zeros(shape) for _ in range(self.cell.num_states))


def token_step(model: Any, params: Any) -> Callable[[Any, jax.Array], Any]:
    """`step(state, token [B]) -> (state, logits [B, V])`, what `jaxdl.decode` asks for.

    Of a `LanguageModel`, or of a `Transformer`, whose state is its cache.

    >>> model, token = LanguageModel(vocab_size=5, hidden_size=8), jnp.array([1, 2])
    >>> init = lambda: model.init(jax.random.key(0), token[:, None], train=False)["params"]
    >>> step = lambda params, state: token_step(model, params)(state, token)
    >>> (h,), logits = jax.eval_shape(step, jax.eval_shape(init), model.initial_state(2))
    >>> h.shape, logits.shape
    ((1, 2, 8), (2, 5))
    """

    def step(state: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        outputs: Any = model.apply({"params": params}, token[:, None], state, train=False)
        logits, state = outputs
        return state, logits[:, 0]

    return step


# Zaremba et al. 2014, sec. 4.1; the small one is TensorFlow's.
LSTMSmall = functools.partial(
    LanguageModel,
    cell=LSTMCell(),
    hidden_size=200,
    num_layers=2,
    embed_dim=200,
    init_scale=0.1,
)
LSTMMedium = functools.partial(
    LSTMSmall, hidden_size=650, embed_dim=650, dropout=0.5, init_scale=0.05
)
LSTMLarge = functools.partial(
    LSTMSmall, hidden_size=1500, embed_dim=1500, dropout=0.65, init_scale=0.04
)
