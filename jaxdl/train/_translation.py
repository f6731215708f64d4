"""Teaching a translator the next token."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import losses
from jaxdl.metrics import Mean, Perplexity
from jaxdl.train._objective import Aux, Batch, Objective


def translation(model: Any, *, bos_id: int, sampling: float = 0.0) -> Objective:
    """Builds the objective of an encoder-decoder with teacher forcing.

    The batch has "source" `[B, S]` and "target" `[B, T]`, ended by `<eos>`; 0 is padding.

    >>> from jaxdl import models
    >>> from jaxdl.train import linen_init, make_eval
    >>> model, key = models.Translator(4, 6, embed_dim=2, hidden_size=2), jax.random.key(0)
    >>> source, target = jnp.array([[3, 2]]), jnp.array([[4, 2, 0]])
    >>> shapes, _ = jax.eval_shape(lambda: linen_init(model, key, source, target=target))
    >>> zeros = jax.tree.map(jnp.zeros_like, shapes)  # they find 6 tokens alike
    >>> batch = {"source": source, "target": target, "mask": jnp.array([True])}
    >>> eval_step = make_eval(translation(model, bos_id=1))
    >>> jax.jit(eval_step)(zeros, {}, batch)["perplexity"].compute()
    Array(6., dtype=float32)

    Args:
        model: called as `model(source, target_so_far, train=...) -> (logits, weights)`.
        bos_id: the token a target begins with.
        sampling: in training, the probability with which the decoder reads its own most probable
            token in place of the true one (scheduled sampling; Bengio et al. 2015,
            arXiv:1506.03099). Its guesses come from a first pass that reads the truth, so that all
            steps stay parallel to the loop (Mihaylova & Martins 2019, arXiv:1906.07651).
    Returns: an objective; its loss is nats per token, its metric "perplexity".
    Raises: ValueError if `sampling` is no probability.
    """
    if not 0 <= sampling <= 1:
        raise ValueError(f"sampling must lie in [0, 1], got {sampling}")

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        source, target = batch["source"], batch["target"]
        variables, keys = {"params": params}, jax.random.split(key)
        read = jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=bos_id)
        if train and sampling > 0:
            logits, _ = model.apply(variables, source, read, train=False)
            own = jnp.pad(jnp.argmax(logits[:, :-1], -1), ((0, 0), (1, 0)), constant_values=bos_id)
            read = jnp.where(jax.random.bernoulli(keys[1], sampling, read.shape), own, read)
        logits, _ = model.apply(variables, source, read, train=train, rngs={"dropout": keys[0]})
        nll = losses.softmax_cross_entropy(logits, target)
        mean = Mean.from_values(nll, (target > 0) & batch["mask"][:, None])
        return mean, Aux({"perplexity": Perplexity(mean)}, model_state)

    return objective
