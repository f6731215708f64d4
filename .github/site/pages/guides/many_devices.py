# %% [markdown]
# # Many devices, many hosts
#
# On a machine with several accelerators `train.fit` spreads every batch over all of them, and nothing
# has to be asked for. This page shows what is behind that, on eight devices that a CPU pretends to
# have; on a real machine leave the first two lines out.

# %%
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import optax

from jaxdl import data, losses, metrics, models, objectives, parallel, plots, train

print(len(jax.devices()), "devices")

# %% [markdown]
# ## A layout
#
# A `Layout` says how a run lies on its devices. Batches are cut along their leading axis. Parameters
# are copied, or, above a size, cut as well.

# %%
whole = parallel.Layout(parallel.make_mesh(data=8))
cut = parallel.Layout(parallel.make_mesh(data=4, model=2), shard_above=1000)
kernel = jax.ShapeDtypeStruct((64, 256), jnp.float32)
print("copied:", whole.state(kernel).spec)
print("cut:   ", cut.state(kernel).spec)
placed = jax.device_put(jnp.zeros((64, 256)), cut.state(kernel))
for shard in placed.addressable_shards[:3]:
    print(shard.device, "holds", shard.data.shape, "of", placed.shape)

# %% [markdown]
# ## The same training
#
# One device, eight devices, and eight devices that each hold an eighth of the parameters: the numbers
# agree to the rounding of float32, because a loss is a total over a weight wherever its examples are.

# %%
splits = data.load("digits")
objective = objectives.supervised(
    models.MLP((256, 10)),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.Accuracy.from_batch},
    preprocess=data.images.to_unit,
)
trainer = train.make(objective, optax.sgd(0.1))
layouts = {
    "one device": parallel.Layout(parallel.make_mesh(data=1)),
    "eight, copied": whole,
    "eight, cut": cut,
}
results = {
    name: train.fit(
        trainer, splits["train"], epochs=4, batch_size=64, layout=layout
    )
    for name, layout in layouts.items()
}
for name, result in results.items():
    print(f"{name:14}", [f"{row['train/loss']:.5f}" for row in result.history])

# %% alt="Loss and accuracy of the three layouts: the lines lie on top of each other"
plots.compare({name: [result.history] for name, result in results.items()})

# %% [markdown]
# ## Communication written out
#
# Code for one device, with the sums over devices in sight, runs under `shard_map`. Differentiate the
# loss of all devices: then the gradient of a copied parameter is whole.

# %%
everywhere = parallel.psum_objective(objective)
explicit = train.make(everywhere, optax.sgd(0.1))
batch = data.host_batch(splits["train"], 0, batch_size=64, seed=0)
state = trainer.init(jax.random.key(0), batch)
step = parallel.per_device(explicit.step, whole.mesh)
_, seen = jax.jit(step)(state, batch)
_, alone = jax.jit(trainer.step)(state, batch)
print("all devices", seen["loss"].compute(), "one device", alone["loss"].compute())

# %% [markdown]
# ## Texts longer than a device holds
#
# A transformer with an `axis_name` reads texts that are cut along that axis of the mesh: keys and values
# go around the devices, and nobody holds a whole text, or a map of all its pairs.

# %%
from jax.sharding import PartitionSpec as P

model = models.Transformer(256, context=512, dim=32, num_layers=1, num_heads=4)
tokens = jax.random.randint(jax.random.key(0), (2, 512), 0, 256)
variables = model.init(jax.random.key(1), tokens, train=False)
of_part = model.clone(axis_name="model")
read = jax.shard_map(
    lambda variables, tokens: of_part.apply(variables, tokens, train=False)[0],
    mesh=parallel.make_mesh(data=2, model=4),
    in_specs=(P(), P("data", "model")),
    out_specs=P("data", "model"),
)
logits = jax.jit(read)(variables, tokens)
uncut = model.apply(variables, tokens, train=False)[0]
print("each device reads", logits.addressable_shards[0].data.shape)
print("largest difference", jnp.abs(logits - uncut).max())

# %% [markdown]
# ## Several hosts
#
# Every experiment also runs as one of several processes that share a run folder. Each reads its own
# share of every batch.
#
# ```console
# $ python -m experiments.lenet --out FOLDER --coordinator HOST:PORT --processes 2 --process-id 0
# $ python -m experiments.lenet --out FOLDER --coordinator HOST:PORT --processes 2 --process-id 1
# ```
#
# Under SLURM, MPI and on TPU slices `--coordinator auto` finds the others. When one process fails, the
# others end with the command that continues the run, on as many hosts as are left
# ([resume and faults](resume.md)); with `--elastic` those that are left do so by themselves, from the last
# checkpoint, as long as process 0 is among them. As many go on as divide the first number of processes, so
# that batches of the same size split over their devices. A script of its own calls
# [`parallel.initialize`](../reference/parallel.md#jaxdl.parallel.initialize) first.
#
# [Sweeps, halving and populations](sweeps.md) spread their members over the devices of all processes in the
# same way. The members do not depend on where they are trained: bit for bit the same on one device, on
# eight, and on two processes of which one was killed and the other went on.
#
# ## Loops of your own on a pretended machine
#
# The devices that a CPU pretends to have share its threads. A loop that hands them more than some thirty
# steps before it looks at a result can leave them waiting for one another until XLA ends the process:
# call `jax.block_until_ready` every few steps, as `train.fit` and `bench.measure` do.
#
# To see what a layout costs on a machine that is not there, [plan it](plan.md).
