# ---
# title: jaxdl
# hide: [navigation, toc]
# ---

# %% [markdown]
# # jaxdl
#
# Deep-learning research in JAX as pure functions: losses, metrics, layers, models, decoders, image
# operations and classical learners to import one by one, and a training engine for all of them.
#
# ![Detected digits, detected blood cells, digits and a class for each of their pixels, a photograph
# painted like a flower, what a translated date attends to](gallery.jpg){ .picture }
#
# <div class="grid cards" markdown>
#
# - **Exact numbers**
#
#     Losses and metrics are totals over weights, divided once. Padding, ragged last batches,
#     accumulation and the number of devices change nothing.
#     [Bring your metric](guides/your_metric.md)
#
# - **Exact resume**
#
#     A run that was killed goes on bit for bit as if nothing had happened, and every step can be
#     replayed, because batch k is a function of the seed and k.
#     [Resume and faults](guides/resume.md)
#
# - **Any module**
#
#     Flax Linen, Flax NNX, Equinox, Haiku and plain functions train, sweep, shard and save through
#     the same three functions.
#     [Your own model](guides/your_model.md)
#
# - **A plan before the machine**
#
#     Any step compiles here for accelerators that are not there: does it fit, what fills the
#     memory, what is communicated.
#     [Plan a machine](guides/plan.md)
#
# </div>
#
# ## Twelve lines

# %%
import optax

from jaxdl import data, losses, metrics, models, objectives, train

splits = data.load("digits")  # real handwritten digits, nothing to download
objective = objectives.supervised(
    models.MLP(
        (64, 10)
    ),  # or a module of Flax NNX or Equinox, or a pair of functions
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.Accuracy.from_batch},
    preprocess=data.images.to_unit,
)
trainer = train.make(
    objective, optax.adam(1e-3), clip_norm=1.0
)  # init, step, evaluate
result = train.fit(trainer, splits["train"], epochs=20, batch_size=32)
print(train.scalars(train.evaluate(trainer, result.state, splits["test"])))

# %% [markdown]
# This page ran while it was built; so did every other page of this site that shows code.
#
# ## Install
#
# From a checkout, with Python 3.11 or newer:
#
# === "CPU"
#
#     ```console
#     $ pip install -e .
#     $ python -m experiments.lenet
#     ```
#
# === "NVIDIA GPU"
#
#     ```console
#     $ pip install -e '.[gpu]'
#     $ python -m experiments.lenet
#     ```
#
# === "TPU"
#
#     ```console
#     $ pip install -e '.[tpu]'
#     $ python -m experiments.lenet
#     ```
#
# `python -m jaxdl` says which devices and extras are there.
#
# ## Where to go on
#
# - Never seen JAX, or new here: the [quickstart](quickstart.md), ten minutes.
# - At home in PyTorch: [from PyTorch](guides/from_pytorch.md) says what is called how.
# - Looking for a block: the [reference](reference/index.md), or the search above.
# - A subject to learn or to look up: the [subjects](subjects/index.md), each with its formula, its
#   code, its test and its experiment.
# - What it measures: [results](results.md) and [speed](speed.md).
