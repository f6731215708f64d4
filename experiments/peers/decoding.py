"""Beam search: 64 sentences, beam 5, 5,000 words, 30 steps of a GRU of 256 units, beside torch.

Torch once for the whole batch and once sentence by sentence; the result is the sum of all scores.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.peers._side import Row, Side
from jaxdl import decode, nn

BEAM, WORDS, STEPS, HIDDEN, START, END = 5, 5000, 30, 256, 0, 1


def weights(smoke: bool) -> dict[str, np.ndarray]:
    """A random model in torch's layouts, and first states `[B, H]`."""
    rng = np.random.default_rng(0)
    shapes = {"ih": (3 * HIDDEN, HIDDEN), "hh": (3 * HIDDEN, HIDDEN), "bias": (3 * HIDDEN,)}
    shapes |= {"out": (WORDS, HIDDEN), "out_bias": (WORDS,)}
    drawn = {k: rng.uniform(-1, 1, shape) / HIDDEN**0.5 for k, shape in shapes.items()}
    drawn |= {"embedding": rng.normal(size=(WORDS, HIDDEN))}
    drawn |= {"h": rng.normal(size=(2 if smoke else 64, HIDDEN))}
    return {k: v.astype(np.float32) for k, v in drawn.items()}


def ours(smoke: bool) -> Side:
    w = {k: jnp.asarray(v) for k, v in weights(smoke).items()}

    @jax.jit
    def search(w: dict[str, jax.Array]) -> Any:
        cell, recurrent = nn.GRUCell(), {"kernel_hh": w["hh"].T, "bias_hn": jnp.zeros(HIDDEN)}

        def step(h: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
            inputs = w["embedding"][token] @ w["ih"].T + w["bias"][None]
            (h,), _ = cell.step(recurrent, inputs, (h,))
            return h, h @ w["out"].T + w["out_bias"][None]

        start = jnp.full(len(w["h"]), START)
        return decode.beam_search(step, w["h"], start, STEPS, beam_size=BEAM, end_id=END)

    return Side(lambda: search(w), len(w["h"]), float(search(w).scores.sum()))


def torchs(one_by_one: bool) -> Any:
    def build(smoke: bool) -> Side:
        import torch

        w = {k: torch.tensor(v) for k, v in weights(smoke).items()}
        cell = torch.nn.GRUCell(HIDDEN, HIDDEN)
        cell.weight_ih.data, cell.weight_hh.data = w["ih"], w["hh"]
        cell.bias_ih.data, cell.bias_hh.data = w["bias"], torch.zeros(3 * HIDDEN)

        @torch.no_grad()
        def search(h: Any) -> Any:
            """Live beams against finished ones on one scale, L^0.75, as ours."""
            batch, worst = len(h), -float("inf")
            h, token = h.repeat_interleave(BEAM, 0), torch.full((batch * BEAM,), START)
            total = torch.full((batch, BEAM), worst)
            total[:, 0] = 0
            length, ended = torch.zeros(batch, BEAM), torch.zeros(batch, BEAM, dtype=torch.bool)
            tokens = torch.full((batch, BEAM, STEPS), END)
            base = torch.arange(batch)[:, None] * BEAM
            for n in range(STEPS):
                h = cell(w["embedding"][token], h)
                logits = torch.nn.functional.linear(h, w["out"], w["out_bias"])
                logp = torch.log_softmax(logits, -1).view(batch, BEAM, WORDS)
                open_ = total.masked_fill(ended, worst)[:, :, None] + logp
                live, index = open_.view(batch, -1).topk(BEAM, 1)
                old = (total / length.clamp(min=1) ** 0.75).masked_fill(~ended, worst)
                _, winner = torch.cat([live / (n + 1) ** 0.75, old], 1).topk(BEAM, 1)
                kept, place = winner >= BEAM, winner.clamp(max=BEAM - 1)
                index = index.gather(1, place)
                parent = torch.where(kept, winner - BEAM, index // WORDS)
                new = torch.where(kept, torch.tensor(END), index % WORDS)
                total = torch.where(kept, total.gather(1, parent), live.gather(1, place))
                length = torch.where(kept, length.gather(1, parent), torch.tensor(n + 1.0))
                ended = kept | (new == END)
                tokens = tokens.gather(1, parent[:, :, None].expand(-1, -1, STEPS)).clone()
                tokens[:, :, n] = new
                h, token = h[(base + parent).view(-1)], new.view(-1)
            return total / length**0.75

        if one_by_one:
            some = w["h"][:8]  # eight are enough to tell the rate
            result = sum(float(search(row[None]).sum()) for row in w["h"])
            return Side(lambda: [search(row[None]) for row in some], len(some), result)
        return Side(lambda: search(w["h"]), len(w["h"]), float(search(w["h"]).sum()))

    return build


ROWS = {
    "beam": Row(
        {"jaxdl": ours, "torch": torchs(False), "torch, one by one": torchs(True)},
        "sentences",
        1e-4,
    )
}
