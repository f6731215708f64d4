"""Next tokens: language models, with the state carried from batch to batch, and translators."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import losses
from jaxdl.metrics import Mean, Perplexity
from jaxdl.objectives._core import Aux, Batch, Objective, build
from jaxdl.objectives._expected import expect_classes


def language_model(
    module: Any, *, stateful: bool = False, z_loss: float = 0.0, label_smoothing: float = 0.0
) -> Objective:
    """The objective of next-token prediction with teacher forcing.

    The batch has "tokens", "targets" and "valid" `[B, T]` (`data.text.windows`,
    `data.text.streams`), and for modules that take them "segments" (`data.text.packed`).

    >>> import numpy as np
    >>> from jaxdl import data, models
    >>> model = models.LanguageModel(5, hidden_size=2, init_scale=1e-9)  # finds 5 tokens alike
    >>> batch = next(data.batches(data.text.windows(np.arange(5), 4), 1))
    >>> objective = language_model(model)
    >>> params, state = objective.init(jax.random.key(0), batch)
    >>> loss, aux = objective(params, state, batch, jax.random.key(0), train=False)
    >>> aux.metrics["perplexity"].compute()
    Array(5., dtype=float32)

    Args:
        module: called as `module(tokens, state) -> (logits, state)`.
        stateful: the state after a batch is where the next one starts (`data.text.streams`), as
            values only: gradients stop at the batch's edge (truncated back-propagation through
            time), and rows whose "start" is True begin from zeros. The module then needs a method
            `initial_state(batch_size)`. Without it every window begins from zeros. Over devices the
            rule `("carry/*", (None, ("replica", "data")))` of a `parallel.Layout` keeps each
            example's state where the example is.
        z_loss, label_smoothing: of `losses.softmax_cross_entropy`, in training alone.
    Returns: an objective; its loss is nats per token, its metric "perplexity", which neither option
        has a part in.
    """

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        apart = {"segments": batch["segments"]} if "segments" in batch else {}
        logits, carry = forward(batch["tokens"], batch.get("carry"), **apart)
        expect_classes("targets", logits.shape[-1], where=lambda columns: columns["valid"])
        nll = losses.softmax_cross_entropy(logits, batch["targets"])
        counts = batch["valid"] & batch["mask"][:, None]
        mean = Mean.from_values(nll, counts)
        found = {"perplexity": Perplexity(mean), "carry": carry}
        if train and (z_loss or label_smoothing):
            options = {"z_loss": z_loss, "label_smoothing": label_smoothing}
            nll = losses.softmax_cross_entropy(logits, batch["targets"], **options)
            mean = Mean.from_values(nll, counts)
        return mean, found

    plain = build(module, score, inputs=lambda batch: (batch["tokens"],))

    def begin(model_state: Any, batch: Batch) -> Any:
        if not stateful:
            return model_state
        return {**model_state, "carry": module.initial_state(len(batch["tokens"]))}

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        seen: dict[str, Any] = dict(batch)
        rest = {name: value for name, value in model_state.items() if name != "carry"}
        if stateful:
            carry, fresh = model_state["carry"], batch["start"][None, :, None]
            carry = tuple(jnp.where(fresh, 0, jax.lax.stop_gradient(s)) for s in carry)
            seen["carry"] = carry
        mean, aux = plain(params, rest, seen, key, train=train)
        metrics = dict(aux.metrics)
        carry = metrics.pop("carry")
        kept = {"carry": jax.lax.stop_gradient(carry)} if stateful else {}
        return mean, Aux(metrics, {**aux.model_state, **kept})

    def init(key: jax.Array, batch: Batch) -> tuple[Any, Any]:
        first: Any = plain.init
        params, state = first(key, batch)
        return params, begin(state, batch)

    return Objective(objective, init, begin)


def translation(module: Any, *, bos_id: int, sampling: float = 0.0) -> Objective:
    """The objective of an encoder-decoder with teacher forcing.

    The batch has "source" `[B, S]` and "target" `[B, T]`, ended by `<eos>`; 0 is padding.

    >>> from jaxdl import models
    >>> model, key = models.Seq2Seq(4, 6, embed_dim=2, hidden_size=2), jax.random.key(0)
    >>> source, target = jnp.array([[3, 2]]), jnp.array([[4, 2, 0]])
    >>> batch = {"source": source, "target": target, "mask": jnp.array([True])}
    >>> objective = translation(model, bos_id=1)
    >>> shapes, _ = jax.eval_shape(objective.init, key, batch)
    >>> zeros = jax.tree.map(jnp.zeros_like, shapes)  # they find 6 tokens alike
    >>> loss, aux = jax.jit(lambda p: objective(p, {}, batch, key, train=False))(zeros)
    >>> aux.metrics["perplexity"].compute()
    Array(6., dtype=float32)

    Args:
        module: called as `module(source, target_so_far) -> (logits, weights)`.
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

    def shifted(target: jax.Array) -> jax.Array:
        return jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=bos_id)

    def inputs(batch: Batch) -> tuple:
        return batch["source"], shifted(batch["target"])

    def score(forward: Callable, batch: Batch, *, key: Any, train: bool) -> tuple[Mean, Any]:
        (source, read), target = inputs(batch), batch["target"]
        if train and sampling > 0:
            logits, _ = forward(source, read, train=False)
            own = jnp.pad(jnp.argmax(logits[:, :-1], -1), ((0, 0), (1, 0)), constant_values=bos_id)
            read = jnp.where(jax.random.bernoulli(key, sampling, read.shape), own, read)
        logits, _ = forward(source, read)
        expect_classes("target", logits.shape[-1], where=lambda columns: columns["target"] > 0)
        nll = losses.softmax_cross_entropy(logits, target)
        mean = Mean.from_values(nll, (target > 0) & batch["mask"][:, None])
        return mean, {"perplexity": Perplexity(mean)}

    return build(module, score, inputs=inputs)
