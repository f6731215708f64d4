"""The target decides, not the host: programs lowered on a CPU for others are written for those."""

import ast
import pathlib

import jax
import jax.numpy as jnp
import pytest

import jaxdl
from jaxdl import nn, ops
from jaxdl.ops._vectorize import vectorized

MARK = "written_for_a_cpu"
# Nothing of these is traced.
HOSTS = {"__main__.py", "parallel/_mesh.py", "runs/_environment.py", "bench/_device.py"}


@pytest.fixture
def marked(monkeypatch):
    """Branches for CPUs, under a name that is found in the lowered text."""
    plain = jax.lax.platform_dependent

    def choose(*args, default=None, **branches):
        if "cpu" in branches:
            cpu = branches["cpu"]

            def named(*args):
                with jax.named_scope(MARK):
                    return cpu(*args)

            branches["cpu"] = named
        return plain(*args, default=default, **branches)

    jax.clear_caches()  # traces made before have no marks
    monkeypatch.setattr(jax.lax, "platform_dependent", choose)
    yield
    jax.clear_caches()


def images(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def squared(function):
    """With its gradient: the ways back have branches of their own."""
    return jax.grad(lambda *args: jnp.sum(function(*args) ** 2), argnums=(0, 1))


def dense(x, kernel):
    layer = nn.Dense(kernel.shape[-1], use_bias=False)
    return layer.apply({"params": {"kernel": kernel}}, x)


CASES = {
    "convolution": (
        squared(lambda x, k: ops.conv(x, k, padding=1)), (8, 32, 32, 16), (3, 3, 16, 16)
    ),
    "each": (squared(lambda x, y: vectorized(jnp.tanh, x) * jnp.sum(y)), (4, 3), (1,)),
    "transposed": (
        squared(lambda x, k: ops.conv_transpose(x, k, strides=2)), (2, 8, 8, 4), (3, 3, 4, 4)
    ),
    "pool": (squared(lambda x, y: ops.max_pool(x, 3, 2) * jnp.sum(y)), (4, 16, 16, 8), (1,)),
    "dense": (squared(dense), (2, 5, 8), (8, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_no_formulation_for_a_cpu_reaches_another_target(name, marked):
    function, *shapes = CASES[name]
    traced = jax.jit(function).trace(*(images(*shape) for shape in shapes))
    found = {}
    for platform in ("cpu", "cuda", "tpu"):
        lowered = traced.lower(lowering_platforms=(platform,))
        found[platform] = MARK in lowered.as_text(debug_info=True)
    assert found == {"cpu": True, "cuda": False, "tpu": False}


def test_nothing_that_is_traced_asks_for_the_host():
    package = pathlib.Path(jaxdl.__file__).parent
    asking = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "default_backend"
    }
    assert asking <= HOSTS
