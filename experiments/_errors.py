"""What a classifier gets wrong: the classes it confuses, and the examples it is worst at."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import classical, data, losses, plots, runs


def show(
    run: runs.Run,
    predict: Callable[[Any, Mapping[str, jax.Array]], Any],
    variables: Any,
    split: data.Dataset,
    names: Sequence[str],
    *,
    count: int = 12,
    figure: str = "worst",
) -> None:
    """Notes the pairs that are confused most and the rows of largest loss; draws these if images.

    Args:
        predict: `(variables, batch)` to logits `[B, K]`, pure.
        split: with "label" `[N]`.
        names: of the classes; those without one are called by their numbers.
        count: how many of the worst examples.
        figure: its name.
    """

    @jax.jit
    def judge(variables: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        logits = predict(variables, batch)
        return losses.softmax_cross_entropy(logits, batch["label"]), jnp.argmax(logits, axis=-1)

    found = []
    for batch in data.batches(split, min(256, len(split))):
        loss, guess = judge(variables, batch)
        real = np.asarray(batch["mask"])
        found.append((np.asarray(loss)[real], np.asarray(guess)[real]))
    loss, guess = (np.concatenate(column) for column in zip(*found, strict=True))
    label = np.asarray(split["label"])
    classes = 1 + int(max(label.max(), guess.max()))
    names = [*names, *map(str, range(len(names), classes))]
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (label, guess), 1)
    for true, wrong, times in classical.confused_pairs(confusion, 3):
        run.note(f"{names[true]} taken for {names[wrong]}: {times}")
    worst = classical.worst_examples(loss, min(count, len(loss)))
    run.note(f"worst examples: rows {worst.tolist()}")
    if "image" in split.columns:
        shown = {
            f"{names[label[i]]}, read {names[guess[i]]} (row {i})": split["image"][i] for i in worst
        }
        run.figure(figure, plots.gallery(shown, columns=4))
