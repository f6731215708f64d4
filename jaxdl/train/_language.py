"""Training a language model on windows of text, with the state carried from batch to batch."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import losses
from jaxdl.metrics import Mean, Perplexity
from jaxdl.train._objective import Aux, Batch, Objective
from jaxdl.train._step import EvalStep, _merge_stacked


def language_model(model: Any) -> Objective:
    """Builds the objective of next-token prediction with teacher forcing.

    The batch has "tokens", "targets" and "valid" `[B, T]` (`data.windows`, `data.streams`). With
    `model_state={"carry": model.initial_state(B)}` the state after a batch is where the next one
    starts, as values only: gradients stop at the batch's edge (truncated back-propagation through
    time), and rows whose "start" is True begin from zeros. Without it every window does.

    >>> from jaxdl import data, models
    >>> from jaxdl.train import linen_init, make_eval
    >>> model = models.LanguageModel(5, hidden_size=2, init_scale=1e-9)  # finds 5 tokens alike
    >>> batch = next(data.batches(data.windows(np.arange(5), 4), 1))
    >>> params, _ = linen_init(model, jax.random.key(0), batch["tokens"])
    >>> jax.jit(make_eval(language_model(model)))(params, {}, batch)["perplexity"].compute()
    Array(5., dtype=float32)

    Args:
        model: called as `model(tokens, state, train=...) -> (logits, state)`.
    Returns: an objective; its loss is nats per token, its metric "perplexity".
    """

    def objective(
        params: Any, model_state: Any, batch: Batch, key: jax.Array, *, train: bool
    ) -> tuple[Mean, Aux]:
        carry = model_state.get("carry")
        if carry is not None:
            fresh = batch["start"][None, :, None]
            carry = tuple(jnp.where(fresh, 0, jax.lax.stop_gradient(s)) for s in carry)
        logits, state = model.apply(
            {"params": params}, batch["tokens"], carry, train=train, rngs={"dropout": key}
        )
        nll = losses.softmax_cross_entropy(logits, batch["targets"])
        mean = Mean.from_values(nll, batch["valid"] & batch["mask"][:, None])
        new = {} if carry is None else {"carry": jax.lax.stop_gradient(state)}
        return mean, Aux({"perplexity": Perplexity(mean)}, new)

    return objective


def make_stream_eval(objective: Objective, batch_size: int) -> EvalStep:
    """Builds the pure function `(params, model_state, columns) -> metrics` over whole streams.

    Unlike `make_eval` it hands the model state from batch to batch; it reads all columns of a
    `data.streams(..., batch_size)` split in one compiled loop. `model_state` is the one to begin
    with, of this batch size.

    >>> from jaxdl import data, models
    >>> from jaxdl.train import linen_init
    >>> model = models.LanguageModel(5, hidden_size=2, init_scale=1e-9)  # finds 5 tokens alike
    >>> split = data.streams(np.arange(9) % 5, 2, batch_size=2)
    >>> params, _ = linen_init(model, jax.random.key(0), split["tokens"])
    >>> eval_step = make_stream_eval(language_model(model), batch_size=2)
    >>> first_state = {"carry": model.initial_state(2)}
    >>> jax.jit(eval_step)(params, first_state, split.columns)["perplexity"].compute()
    Array(5., dtype=float32)
    """

    def evaluate(params: Any, model_state: Any, columns: Mapping[str, jax.Array]) -> Any:
        def batch_first(x: Any) -> jax.Array:
            x = jnp.asarray(x)
            if x.shape[0] % batch_size:
                raise ValueError(f"{x.shape[0]} rows are not streams of batch_size={batch_size}")
            return x.reshape(-1, batch_size, *x.shape[1:])

        def body(model_state: Any, batch: Batch) -> tuple[Any, Any]:
            batch = {**batch, "mask": jnp.ones(batch_size, bool)}
            key = jax.random.key(0)  # nothing is random in evaluation
            mean, aux = objective(params, model_state, batch, key, train=False)
            return aux.model_state, {"loss": mean, **aux.metrics}

        _, stacked = jax.lax.scan(body, model_state, jax.tree.map(batch_first, dict(columns)))
        return _merge_stacked(stacked)

    return evaluate
