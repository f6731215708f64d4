"""A training step of a transformer (GPT-2's form: 4 layers, 256 wide, 256 tokens) beside torch.

Both start from the same weights; the result is the loss of the third step.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers._side import Row, Side
from jaxdl import bench, models, objectives, train

VOCABULARY, STEPS, BATCH, DIM, LAYERS, HEADS = 1024, 256, 8, 256, 4, 4


def setting(smoke: bool) -> tuple[Any, Any, np.ndarray]:
    """Model, parameters and tokens `[B, T + 1]`."""
    size, steps = (2, 16) if smoke else (BATCH, STEPS)
    model = models.Transformer(
        VOCABULARY, context=STEPS, dim=DIM, num_layers=LAYERS, num_heads=HEADS
    )
    one = jnp.zeros((1, 8), jnp.int32)
    params, _ = objectives.as_network(model).init(jax.random.key(0), (one,))
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (size, steps + 1))
    return model, params, tokens


def ours(smoke: bool) -> Side:
    model, params, tokens = setting(smoke)
    trainer = train.make(objectives.language_model(model), optax.sgd(0.1), clip_norm=1.0)
    state = trainer.init(jax.random.key(0), params=params)
    columns = {
        "tokens": jnp.asarray(tokens[:, :-1], jnp.int32),
        "targets": jnp.asarray(tokens[:, 1:], jnp.int32),
        "valid": jnp.ones(tokens[:, 1:].shape, bool),
        "mask": jnp.ones(len(tokens), bool),
    }
    take = bench.stepper(jax.jit(trainer.step, donate_argnums=0), state, columns)
    loss = [float(take()[1]["loss"].compute()) for _ in range(3)][-1]
    return Side(take, tokens[:, 1:].size, loss)


def torchs(compiled: bool) -> Callable[[bool], Side]:
    def build(smoke: bool) -> Side:
        import torch

        _, params, tokens = setting(smoke)
        F = torch.nn.functional
        w = {
            name: torch.tensor(array, requires_grad=True)
            for name, array in models.gpt2_to_torch(params).items()
        }

        def linear(x: Any, name: str) -> Any:
            return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

        def norm(x: Any, name: str) -> Any:
            return F.layer_norm(x, (DIM,), w[f"{name}.weight"], w[f"{name}.bias"])

        def loss_of(x: Any, y: Any) -> Any:
            h = w["wte.weight"][x] + w["wpe.weight"][: x.shape[1]]
            for i in range(LAYERS):
                q, k, v = (
                    part.reshape(*x.shape, HEADS, DIM // HEADS).transpose(1, 2)
                    for part in linear(norm(h, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(DIM, -1)
                )
                mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                h = h + linear(mixed.transpose(1, 2).flatten(2), f"h.{i}.attn.c_proj")
                up = linear(norm(h, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
                h = h + linear(F.gelu(up, approximate="tanh"), f"h.{i}.mlp.c_proj")
            logits = norm(h, "ln_f") @ w["wte.weight"].T
            return F.cross_entropy(logits.reshape(-1, VOCABULARY), y.reshape(-1))

        loss_function: Any = torch.compile(loss_of) if compiled else loss_of
        optimizer = torch.optim.SGD(w.values(), lr=0.1)
        x, y = torch.tensor(tokens[:, :-1].copy()), torch.tensor(tokens[:, 1:].copy())

        def take() -> Any:
            loss = loss_function(x, y)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
            optimizer.step()
            return loss.detach()

        return Side(take, tokens[:, 1:].size, [float(take()) for _ in range(3)][-1])

    return build


ROWS = {
    "transformer": Row({"jaxdl": ours, "torch": torchs(False)}, "tokens", 1e-4),
    "transformer_compiled": Row({"jaxdl": ours, "torch": torchs(True)}, "tokens", 1e-4),
}
