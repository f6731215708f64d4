"""The explicit form: code for one device, with the communication written out.

Inside `shard_map` the thing to differentiate is the loss of all devices, `grad(psum(total))`:
parameters that are the same everywhere then get the whole gradient. Averaging the gradients
instead, `pmean(grad(total))`, comes out as many times too large as there are devices, without an
error, because the gradient of a replicated parameter is a sum over devices already.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

AXES = ("replica", "data")  # over which examples are spread


def psum_objective(objective: Callable, axis_name: Any = AXES) -> Callable:
    """The objective of all devices' examples, for the code of one device.

    Loss and metrics become those of the whole batch, the same on every device. Model state has to
    come out the same everywhere by itself: `nn.BatchNorm(axis_name=...)`, or none at all.

    >>> from jaxdl.metrics import Mean
    >>> from jaxdl.objectives import Aux
    >>> def objective(params, model_state, batch, key, *, train):
    ...     return Mean.from_values(params * batch), Aux({}, model_state)
    >>> of_one = lambda batch: psum_objective(objective, "device")(
    ...     2.0, {}, batch, None, train=True
    ... )[0]
    >>> jax.vmap(of_one, axis_name="device")(jnp.array([[1.0], [3.0]])).compute()
    Array([4., 4.], dtype=float32)

    Args:
        objective: `(params, model_state, batch, key, *, train) -> (Mean, Aux)`.
        axis_name: mesh axes over which the batch is spread.
    """

    def everywhere(params: Any, model_state: Any, batch: Any, key: Any, *, train: bool) -> Any:
        mean, aux = objective(params, model_state, batch, key, train=train)
        mean = jax.tree.map(lambda x: jax.lax.psum(x, axis_name), mean)
        metrics = {name: all_reduce(state, axis_name) for name, state in aux.metrics.items()}
        return mean, aux._replace(metrics=metrics)

    return everywhere


def all_reduce(metric: Any, axis_name: Any = AXES) -> Any:
    """Merges a metric state over devices, in their order; every device gets the result.

    States need not be sums (one that collects scores is not), so they are gathered and merged. The
    gathering is a sum of arrays that are zero but for one device's part: unlike `all_gather`, its
    result is known to be the same on every device.

    >>> from jaxdl.metrics import Mean
    >>> of_one = lambda values: all_reduce(Mean.from_values(values), "device")
    >>> jax.vmap(of_one, axis_name="device")(jnp.array([[1.0, 3.0], [5.0, 7.0]])).compute()
    Array([4., 4.], dtype=float32)
    """
    size, index = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)

    def gather(x: ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        place = (jnp.arange(size) == index).reshape((size,) + (1,) * x.ndim)
        return jax.lax.psum(jnp.where(place, x[None], jnp.zeros((), x.dtype)), axis_name)

    gathered = jax.tree.map(gather, metric)
    parts = [jax.tree.map(lambda x, i=i: x[i], gathered) for i in range(size)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    return merged


def per_device(step: Callable, mesh: Mesh) -> Callable:
    """Runs `(state, batch) -> (state, metrics)` written for one device on every device of a mesh.

    The state is copied to all, the batch cut along its leading axis over "replica" and "data".
    Build the step from `psum_objective(objective)`.

    >>> from jaxdl import parallel
    >>> def step(state, batch):
    ...     return state + jax.lax.psum(jnp.sum(batch), AXES), {}
    >>> per_device(step, parallel.make_mesh(data=1))(jnp.array(1.0), jnp.array([2.0, 3.0]))
    (Array(6., dtype=float32), {})
    """
    return jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXES)), out_specs=(P(), P()))


def pmap(step: Callable, mesh: Mesh) -> Callable:
    """The same for scripts in the manner of `jax.pmap`: batches come as `[devices, B, ...]`.

    >>> from jaxdl import parallel
    >>> def step(state, batch):
    ...     return state + jax.lax.psum(jnp.sum(batch), AXES), {}
    >>> pmap(step, parallel.make_mesh(data=1))(jnp.array(1.0), jnp.array([[2.0, 3.0]]))
    (Array(6., dtype=float32), {})

    Raises: ValueError, when traced, for batches of another shape.
    """
    devices = mesh.shape["replica"] * mesh.shape["data"]

    def joined(state: Any, batch: Any) -> Any:
        for leaf in jax.tree.leaves(batch):
            if leaf.ndim < 2 or leaf.shape[0] != devices:
                raise ValueError(f"batches need a shape [{devices}, B, ...], got {leaf.shape}")
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
        return per_device(step, mesh)(state, flat)

    return joined
