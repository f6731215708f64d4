# %% [markdown]
# # Plan a machine
#
# A compiler knows how much memory a program takes, and it does not need the chip. `bench.plan` compiles
# a step for a target and reads the answer: whether it fits, what holds the memory, how many operations
# it takes, what is communicated. Nothing is executed.
#
# `cpu-1` is a target that every machine can compile for, so this page uses it. With the extras
# `plan-gpu` and `plan-tpu` the same lines take `h100-8`, `v5e-256` and the others below.

# %%

import jax
import jax.numpy as jnp
import optax

from jaxdl import bench, losses, models, objectives, plots, train

objective = objectives.supervised(
    models.MLP((512, 10)), losses.softmax_cross_entropy
)
trainer = train.make(objective, optax.adam(1e-3))


def shapes(batch_size):
    """A batch of which only the shapes exist."""
    return {
        "image": jax.ShapeDtypeStruct((batch_size, 28, 28, 1), jnp.float32),
        "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
        "mask": jax.ShapeDtypeStruct((batch_size,), jnp.bool_),
    }


state = jax.eval_shape(trainer.init, jax.random.key(0), shapes(8))
made = bench.plan(trainer.step, state, shapes(256), target="cpu-1")
print(bench.describe(made))

# %% [markdown]
# ## What a larger batch needs

# %% alt="Memory of a step by kind for three batch sizes: activations grow, parameters do not"
plans = {
    f"batch {size}": bench.plan(trainer.step, state, shapes(size), target="cpu-1")
    for size in (64, 256, 1024)
}
plots.plans(plans)

# %% [markdown]
# ## Machines to plan for

# %%
for name, chip in bench.CHIPS.items():
    print(f"{name:6} {chip.kind}")

# %% [markdown]
# ## From the command line
#
# The step of any experiment, for a machine that you may rent:
#
# ```console
# $ python -m jaxdl.bench plan convnets --network resnet18 --target h100-8
# $ python -m experiments.lenet --plan cpu-1
# ```
#
# `bench.largest_batch` finds the largest batch that fits, `bench.layout_search` compares ways to cut
# the state, and `bench.remat_search` what to compute again in the backward pass:
# [reference](../reference/bench.md).
