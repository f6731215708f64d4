"""Classifiers of texts: GRU, bidirectional LSTM, and a network of convolutions.

All read ids `[B, T]` in which 0 is padding, at the end only, and give logits `[B, K]` that do not
depend on how much padding there is. A text without a word has defined logits, too. Words have
vectors in up to two channels: "tuned" ones are trained, "frozen" ones stay as `with_vectors` set
them, and "both" has the two side by side (Kim's "multichannel").
"""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxdl.nn import GRU, LSTM, Dropout, contract_last

Vectors = Literal["tuned", "frozen", "both"]


class Words(linen.Module):
    """Word vectors `[B, T, D]`, or `[B, T, 2D]` for "both"; zero where there is padding."""

    vocab_size: int
    embed_dim: int
    vectors: Vectors

    @linen.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise ValueError(f"tokens need shape [B, T] and integers, got {tokens.shape}")
        shape = (self.vocab_size, self.embed_dim)
        channels = []
        for name in ("tuned", "frozen"):
            if self.vectors in (name, "both"):
                table = self.param(name, linen.initializers.normal(0.1), shape)
                channels.append(table if name == "tuned" else jax.lax.stop_gradient(table))
        x = jnp.concatenate([table[tokens] for table in channels], axis=-1)
        return jnp.where((tokens > 0)[..., None], x, 0)


def with_vectors(params: dict[str, Any], table: ArrayLike) -> dict[str, Any]:
    """Parameters of one of these models with its word vectors, in every channel, set to `table`.

    >>> params = {"words": {"tuned": jnp.zeros((2, 1)), "frozen": jnp.zeros((2, 1))}}
    >>> with_vectors(params, np.array([[0.0], [0.5]]))["words"]["frozen"][:, 0]
    Array([0. , 0.5], dtype=float32)

    Raises: ValueError if the table is not `[vocab_size, embed_dim]`.
    """
    wanted = {array.shape for array in params["words"].values()}
    if wanted != {jnp.shape(table)}:
        raise ValueError(f"the model has vectors {wanted.pop()}, the table {jnp.shape(table)}")
    words = {name: jnp.array(table, jnp.float32) for name in params["words"]}  # a copy for each
    return {**params, "words": words}


class GRUClassifier(linen.Module):
    """A GRU reads the text; its state after the last word decides.

    >>> model, key = GRUClassifier(vocab_size=1000), jax.random.key(0)
    >>> tokens = jnp.array([[5, 8, 0, 0], [7, 2, 3, 9]])  # two words, and four
    >>> jax.eval_shape(lambda: model.init_with_output(key, tokens, train=False))[0].shape
    (2, 2)
    """

    vocab_size: int
    num_classes: int = 2
    embed_dim: int = 100
    hidden_size: int = 100
    vectors: Vectors = "tuned"
    dropout: float = 0.5

    @linen.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """Maps ids `[B, T]` to logits `[B, K]`; key "dropout" in training."""
        x = Words(self.vocab_size, self.embed_dim, self.vectors, name="words")(tokens)
        lengths = jnp.sum(tokens > 0, axis=1)
        _, (h,) = GRU(self.hidden_size, name="reader")(x, lengths=lengths, train=train)
        h = Dropout(self.dropout)(h[0], train=train)
        return linen.Dense(self.num_classes, name="head")(h)


class BiLSTMClassifier(linen.Module):
    """An LSTM reads both ways; its outputs at the first and at the last word decide (4H numbers).

    The last word is that of the text, not of the padding.

    >>> model, tokens = (
    ...     BiLSTMClassifier(vocab_size=1000, hidden_size=100),
    ...     jnp.array([[5, 8, 0, 0]]),
    ... )
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), tokens, train=False))
    >>> variables["params"]["head"]["kernel"].shape
    (400, 2)
    """

    vocab_size: int
    num_classes: int = 2
    embed_dim: int = 100
    hidden_size: int = 100
    num_layers: int = 1
    vectors: Vectors = "tuned"
    dropout: float = 0.5

    @linen.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """Maps ids `[B, T]` to logits `[B, K]`; key "dropout" in training."""
        x = Words(self.vocab_size, self.embed_dim, self.vectors, name="words")(tokens)
        lengths = jnp.sum(tokens > 0, axis=1)
        h, _ = LSTM(self.hidden_size, self.num_layers, bidirectional=True, name="reader")(
            x, lengths=lengths, train=train
        )
        last = jnp.maximum(lengths - 1, 0)[:, None, None]
        ends = jnp.concatenate([h[:, 0], jnp.take_along_axis(h, last, axis=1)[:, 0]], axis=-1)
        ends = Dropout(self.dropout)(ends, train=train)
        return linen.Dense(self.num_classes, name="head")(ends)


class TextCNN(linen.Module):
    """Convolutions of several widths, each unit's maximum over time (Kim 2014, arXiv:1408.5882).

    The text is padded with zeros at both ends, so that every word is the middle of a window;
    without `padded` only windows that lie in the text count, `L - width + 1` of L words, and a text
    shorter than a width has zeros from it. All widths are one matrix product, whose shifted slices
    are added up.

    >>> model, tokens = TextCNN(vocab_size=1000, embed_dim=50), jnp.array([[5, 8, 0, 0]])
    >>> variables = jax.eval_shape(lambda: model.init(jax.random.key(0), tokens, train=False))
    >>> variables["params"]["kernel3"].shape  # three words of both channels, 2 * 50 numbers each
    (3, 100, 100)
    """

    vocab_size: int
    num_classes: int = 2
    embed_dim: int = 100
    filters: int = 100  # F, for each width
    widths: Sequence[int] = (3, 4, 5)
    padded: bool = True
    vectors: Vectors = "both"
    dropout: float = 0.5

    @linen.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """Maps ids `[B, T]` to logits `[B, K]`; key "dropout" in training."""
        x_BTD = Words(self.vocab_size, self.embed_dim, self.vectors, name="words")(tokens)
        D, F, T = x_BTD.shape[-1], self.filters, tokens.shape[1]
        init = linen.initializers.lecun_normal(in_axis=(0, 1))
        kernels = [self.param(f"kernel{w}", init, (w, D, F)) for w in self.widths]
        bias = self.param("bias", linen.initializers.zeros, (len(kernels) * F,))
        columns = jnp.concatenate([jnp.moveaxis(k, 0, 1).reshape(D, -1) for k in kernels], axis=1)
        cuts = [F * sum(self.widths[:i]) for i in range(1, len(kernels))]
        products = jnp.split(contract_last(x_BTD, columns), cuts, axis=-1)
        sums, whole = [], []
        for width, product in zip(self.widths, products, strict=True):
            before = (width - 1) // 2 if self.padded else 0
            if not self.padded:  # the last word of every window is one
                last = jnp.pad(tokens, ((0, 0), (0, width - 1)))[:, width - 1 :]
                whole.append(jnp.repeat((last > 0)[..., None], F, axis=-1))
            padded = jnp.pad(product, ((0, 0), (before, width - 1 - before), (0, 0)))
            sums.append(sum(padded[:, i : i + T, i * F : (i + 1) * F] for i in range(width)))
        h_BTF = jnp.concatenate(sums, axis=-1)
        h_BTF = linen.relu(h_BTF + jnp.broadcast_to(bias, h_BTF.shape))
        counted = (tokens > 0)[..., None] if self.padded else jnp.concatenate(whole, axis=-1)
        pooled = jnp.max(jnp.where(counted, h_BTF, 0), axis=1)
        pooled = Dropout(self.dropout)(pooled, train=train)
        return linen.Dense(self.num_classes, name="head")(pooled)
