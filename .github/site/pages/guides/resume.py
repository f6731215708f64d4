# %% [markdown]
# # Resume and faults
#
# A run is a folder. What was killed goes on when the same command is given again, and ends with the
# same parameters, bit for bit. This page kills a run in the middle and checks that.

# %%
import dataclasses
import pathlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import data, losses, metrics, models, objectives, plots, runs, train

splits = data.load("digits")
objective = objectives.supervised(
    models.MLP((64, 10)),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.Accuracy.from_batch},
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.adam(1e-3))


@dataclasses.dataclass(frozen=True)
class Config:
    learning_rate: float = 1e-3
    seed: int = 0


def command(folder, after_epoch=None):
    """What a script does; `after_epoch` stands for the power that fails."""
    with runs.open(
        Config(), name="mlp", out=pathlib.Path(folder), quiet=True
    ) as run:
        return train.fit(
            trainer,
            splits["train"],
            epochs=12,
            batch_size=32,
            held_out={"test": splits["test"]},
            run=run,
            after_epoch=after_epoch,
        )


def power_cut(state, row):
    if row["epoch"] == 6:
        raise RuntimeError("the power is gone")


unhurt = command("unhurt")
try:
    command("hurt", power_cut)
except RuntimeError as error:
    print("epoch 6:", error)
again = command("hurt")  # the same command

same = jax.tree.map(
    lambda a, b: bool((a == b).all()), unhurt.state.params, again.state.params
)
print("the same bits:", all(jax.tree.leaves(same)))

# %% alt="Loss and accuracy of the run that was never killed and of the one that went on: one line"
plots.compare(
    {"never killed": [unhurt.history], "killed at epoch 6": [again.history]}
)

# %% [markdown]
# ## What lies in the folder

# %%
for path in sorted(pathlib.Path("hurt").iterdir()):
    print(path.name)
record = runs.read(pathlib.Path("hurt"))
print(record.config)

# %% [markdown]
# `python -m jaxdl.runs list`, `compare` and `page` read such folders. A folder that holds a run with
# other options is refused, not overwritten:

# %%
try:
    with runs.open(
        Config(learning_rate=1.0), name="mlp", out=pathlib.Path("hurt"), quiet=True
    ):
        pass
except FileExistsError as error:
    print(error)

# %% [markdown]
# ## Numbers that are not finite
#
# `skip_nonfinite` leaves out the update of a step whose loss or gradient is not finite, counts it, and
# gives up after so many in a row. Here one image in the training set is broken. Without
# `skip_nonfinite` the parameters are lost, and `fit` warns in the first epoch whose loss is no number.

# %%
images = splits["train"]["image"].astype(np.float32) / 255
images[100] = np.nan
broken = data.Dataset({"image": images, "label": splits["train"]["label"]})
plain = objectives.supervised(models.MLP((64, 10)), losses.softmax_cross_entropy)
for skip in (None, 3):
    trainer = train.make(plain, optax.adam(1e-3), skip_nonfinite=skip)
    with warnings.catch_warnings(record=True) as told:
        result = train.fit(trainer, broken, epochs=3, batch_size=32)
    finite = all(
        bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(result.state.params)
    )
    skipped = 0 if skip is None else int(result.state.skipped[1])
    print(
        f"skip_nonfinite={skip}: parameters finite: {finite}; steps skipped: {skipped}"
    )
    for warning in told:
        print("  warned:", warning.message)

# %% [markdown]
# ## Ctrl-C, SIGTERM, a host that is lost
#
# Both signals finish the step, save, and leave with the exit code that a scheduler expects. With
# several processes, one that fails ends the others, and each prints the command that continues;
# the run may go on with another number of processes or devices. Checkpoints are complete or not there:
# a file is named only when all of it and its checksum are on the disk
# ([`train.Checkpoints`](../reference/train.md#jaxdl.train.Checkpoints)).
