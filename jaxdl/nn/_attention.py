"""Attention layers; masks and maps as in `jaxdl.ops` (a mask is True where a query may look).

`AdditiveAttention` and `DotAttention` share one interface, for decoders that ask many times: keys
are projected once by `project_keys`, and `attend` takes the projected ones.
"""

from collections.abc import Mapping

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdl import ops
from jaxdl.nn._dense import Dense
from jaxdl.ops._activations import check_mask
from jaxdl.ops._attention import blank_blind, blank_unseen, weighted_values

Attended = tuple[jax.Array, jax.Array]  # outputs [..., T, E], weights [..., T, S]


class _ProjectedKeys(linen.Module):
    """Keys through `key`, a dense layer, once; `attend` of each kind compares them with queries."""

    hidden_size: int

    def setup(self) -> None:
        self.key = Dense(self.hidden_size, use_bias=False)

    def project_keys(self, keys: jax.Array) -> jax.Array:
        """`W_k k`: `[..., S, D] -> [..., S, hidden_size]`."""
        return self.key(keys)

    def attend(
        self, queries: jax.Array, projected: jax.Array, values: jax.Array, mask: jax.Array | None
    ) -> Attended:
        """Outputs `[..., T, E]` and weights `[..., T, S]`, from `project_keys`."""
        raise NotImplementedError

    def __call__(
        self,
        queries: jax.Array,
        keys: jax.Array,
        values: jax.Array,
        mask: jax.Array | None = None,
    ) -> Attended:
        """Queries `[..., T, D]`, keys `[..., S, D']`, values `[..., S, E]`, mask `[..., T, S]`."""
        projected = self.project_keys(blank_unseen(keys, mask))
        return self.attend(queries, projected, values, mask)


class AdditiveAttention(_ProjectedKeys):
    """`v . tanh(W_q q + W_k k)` (Bahdanau et al. 2015); `hidden_size` is the length of v.

    >>> layer, key = AdditiveAttention(hidden_size=4), jax.random.key(0)
    >>> queries, keys, mask = jnp.ones((1, 2)), jnp.ones((3, 5)), jnp.array([[True, True, False]])
    >>> layer.init_with_output(key, queries, keys, jnp.array([[2.0], [4.0], [9.0]]), mask)[0]
    (Array([[3.]], dtype=float32), Array([[0.5, 0.5, 0. ]], dtype=float32))
    """

    def setup(self) -> None:
        super().setup()
        self.query = Dense(self.hidden_size, use_bias=False)
        self.v = self.param(
            "v", linen.initializers.normal(self.hidden_size**-0.5), (self.hidden_size,)
        )

    def attend(
        self, queries: jax.Array, projected: jax.Array, values: jax.Array, mask: jax.Array | None
    ) -> Attended:
        queries, projected = blank_blind(queries, mask), blank_unseen(projected, mask)
        scores = ops.additive_scores(self.query(queries), projected, self.v)
        return weighted_values(scores, values, mask, scores.dtype)


class DotAttention(_ProjectedKeys):
    """`q . W_k k / sqrt(D)`, with queries as they come (Luong et al. 2015, their "general").

    `hidden_size` is the queries' width D; `scaled` is whether scores are divided by its root.

    >>> layer = DotAttention(hidden_size=2, scaled=False)
    >>> params = {"key": {"kernel": jnp.eye(2)}}  # W_k = 1: keys are compared as they are
    >>> keys, values = jnp.log(jnp.array([[1.0, 1.0], [3.0, 1.0]])), jnp.array([[0.0], [4.0]])
    >>> layer.apply({"params": params}, jnp.array([[1.0, 0.0]]), keys, values)
    (Array([[3.]], dtype=float32), Array([[0.25, 0.75]], dtype=float32))
    """

    scaled: bool = True

    def attend(
        self, queries: jax.Array, projected: jax.Array, values: jax.Array, mask: jax.Array | None
    ) -> Attended:
        return ops.dot_product_attention(queries, projected, values, mask=mask, scaled=self.scaled)


class MultiHeadAttention(linen.Module):
    """Several attentions side by side on projections (Vaswani et al. 2017, sec. 3.2.2).

    The parameters are those of torch's `MultiheadAttention`; see `attention_from_torch`.

    >>> layer, x = MultiHeadAttention(num_heads=2), jnp.ones((1, 3, 4))
    >>> mask = jnp.tril(jnp.ones((1, 1, 3, 3), bool))  # step t sees steps up to t
    >>> variables = layer.init(jax.random.key(0), x, x, x, mask, train=False)
    >>> layer.apply(variables, x, x, x, mask, train=False)[1][0, 0]  # equal keys, equal weights
    Array([[1.   , 0.   , 0.   ],
           [0.5  , 0.5  , 0.   ],
           [0.333, 0.333, 0.333]], dtype=float32)

    Attributes:
        num_heads: the width of the queries must divide by it.
        dropout: share of the weights dropped in training.
    """

    num_heads: int
    dropout: float = 0.0

    @linen.compact
    def __call__(
        self,
        queries: jax.Array,
        keys: jax.Array,
        values: jax.Array,
        mask: jax.Array | None = None,
        *,
        train: bool,
    ) -> Attended:
        """Attends from queries `[B, T, D]` to keys and values `[B, S, *]`.

        Args:
            mask: boolean `[B, heads, T, S]`, each axis equal or 1.
            train: whether weights are dropped (with the "dropout" key).
        Returns: outputs `[B, T, D]`, and each head's weights before dropout `[B, heads, T, S]`.
        Raises: ValueError for shapes that do not fit.
        """
        width = queries.shape[-1]
        if queries.ndim != 3 or width % self.num_heads:
            raise ValueError(
                f"queries need shape [B, T, D] with D a multiple of num_heads={self.num_heads}, "
                f"got {queries.shape}"
            )

        def heads(x: jax.Array, name: str) -> jax.Array:  # [B, S, *] -> [B, heads, S, D / heads]
            x = Dense(width, name=name)(x)
            return jnp.swapaxes(x.reshape(*x.shape[:2], self.num_heads, -1), 1, 2)

        if mask is not None:
            check_mask(mask.shape, (len(queries), self.num_heads, queries.shape[1], keys.shape[1]))
            every = jnp.any(mask, axis=1)  # of all heads, [B, T, S]
            queries = blank_blind(queries, every)
            keys, values = blank_unseen(keys, every), blank_unseen(values, every)
        q, k, v = heads(queries, "query"), heads(keys, "key"), heads(values, "value")
        outputs, weights = ops.dot_product_attention(q, k, v, mask=mask)
        if self.dropout and train:
            kept = linen.Dropout(self.dropout, deterministic=False)(weights)
            outputs = jnp.einsum("bhts,bhsd->bhtd", kept, v)
        outputs = jnp.swapaxes(outputs, 1, 2).reshape(queries.shape)
        return Dense(width, name="out")(outputs), weights


def attention_from_torch(state_dict: Mapping[str, ArrayLike]) -> dict[str, dict[str, jax.Array]]:
    """Parameters of `MultiHeadAttention` from the state dict of torch's `MultiheadAttention`.

    >>> state = {"in_proj_weight": np.ones((12, 4)), "in_proj_bias": np.arange(12.0)}
    >>> state |= {"out_proj.weight": np.ones((4, 4)), "out_proj.bias": np.ones(4)}
    >>> params = attention_from_torch(state)
    >>> params["value"]["kernel"].shape, params["value"]["bias"]
    ((4, 4), Array([ 8.,  9., 10., 11.], dtype=float32))

    Args:
        state_dict: arrays by torch's names, NumPy arrays or CPU tensors; kernels `[out, in]`.
    Returns: "query", "key", "value" and "out", each with a "kernel" `[in, out]` and a "bias".
    Raises: ValueError if arrays are missing, or there are others (`bias_k`, say).
    """
    arrays = {name: np.asarray(value) for name, value in state_dict.items()}
    names = ("query", "key", "value")
    try:
        bias = np.split(arrays.pop("in_proj_bias"), 3)
        if "in_proj_weight" in arrays:
            kernels = np.split(arrays.pop("in_proj_weight"), 3)
        else:  # keys and values of another width
            kernels = [arrays.pop(f"{letter}_proj_weight") for letter in "qkv"]
        params = {
            n: {"kernel": k.T, "bias": b} for n, k, b in zip(names, kernels, bias, strict=True)
        }
        out = {"kernel": arrays.pop("out_proj.weight").T, "bias": arrays.pop("out_proj.bias")}
    except KeyError as error:
        raise ValueError(f"the state dict lacks {error}") from error
    if arrays:
        raise ValueError(f"arrays that have no place here: {sorted(arrays)}")
    converted: dict[str, dict[str, jax.Array]] = jax.tree.map(jnp.asarray, {**params, "out": out})
    return converted
