"""Training steps of character language models (28 characters, 256 units, 32 steps) beside torch.

Both start from the same weights; the result is the loss of the third step.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers._side import Row, Side
from jaxdl import bench, models, nn, objectives, train

VOCABULARY, HIDDEN, STEPS = 28, 256, 32
CELLS: dict[str, Any] = {"gru": nn.GRUCell(), "lstm": nn.LSTMCell(), "rnn": nn.RNNCell()}


def setting(cell: str, batch: int) -> tuple[Any, Any, np.ndarray]:
    """Model, parameters and tokens `[B, T + 1]`."""
    model = models.LanguageModel(VOCABULARY, CELLS[cell], hidden_size=HIDDEN)
    one = jnp.zeros((1, STEPS), jnp.int32)
    params, _ = objectives.as_network(model).init(jax.random.key(0), (one,))
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (batch, STEPS + 1))
    return model, params, tokens


def ours(cell: str, batch: int) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        model, params, tokens = setting(cell, 2 if smoke else batch)
        trainer = train.make(objectives.language_model(model), optax.sgd(0.1), clip_norm=1.0)
        state = trainer.init(jax.random.key(0), params=params)
        columns = {
            "tokens": jnp.asarray(tokens[:, :-1], jnp.int32),
            "targets": jnp.asarray(tokens[:, 1:], jnp.int32),
            "valid": jnp.ones((len(tokens), STEPS), bool),
            "mask": jnp.ones(len(tokens), bool),
        }
        take = bench.stepper(jax.jit(trainer.step, donate_argnums=0), state, columns)
        loss = [float(take()[1]["loss"].compute()) for _ in range(3)][-1]
        return Side(take, len(tokens) * STEPS, loss)

    return build


def torchs(cell: str, batch: int) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        import torch

        _, params, tokens = setting(cell, 2 if smoke else batch)
        layer = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[cell]
        reader, head = layer(VOCABULARY, HIDDEN), torch.nn.Linear(HIDDEN, VOCABULARY)
        copied = nn.recurrent_to_torch(params["recurrent"])
        reader.load_state_dict({k: torch.tensor(np.array(v)) for k, v in copied.items()})
        # torch adds two biases where one is enough, which doubles its step; ours has the second one
        # only where it matters, in the GRU's candidate
        counts = torch.arange(len(reader.bias_hh_l0)) >= 2 * HIDDEN if cell == "gru" else 0.0
        reader.bias_hh_l0.register_hook(lambda gradient: gradient * counts)
        head.weight.data = torch.tensor(np.array(params["head"]["kernel"])).T.contiguous()
        head.bias.data = torch.tensor(np.array(params["head"]["bias"]))
        weights = [*reader.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(weights, lr=0.1)
        x, y = torch.tensor(tokens[:, :-1].T.copy()), torch.tensor(tokens[:, 1:].T.copy())

        def take() -> Any:
            hot = torch.nn.functional.one_hot(x, VOCABULARY).float()
            logits = head(reader(hot)[0]).reshape(-1, VOCABULARY)
            loss = torch.nn.functional.cross_entropy(logits, y.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            return loss.detach()

        return Side(take, len(tokens) * STEPS, [float(take()) for _ in range(3)][-1])

    return build


ROWS = {
    f"{cell}_{batch}": Row(
        {"jaxdl": ours(cell, batch), "torch": torchs(cell, batch)}, "characters", 1e-4
    )
    for cell in CELLS
    for batch in (32, 256)
}
