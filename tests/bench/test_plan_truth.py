"""Plans against closed forms, and against what a process really takes."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import pytest

from jaxdl import bench
from tests.bench.test_plan import TARGETS, own_cache, shape  # noqa: F401

# XLA's CPU compiler calls libraries for large products, of which the count is read; of small
# convolutions it makes loops of its own, so the executed operations are compared where they show.


@pytest.mark.parametrize("target", TARGETS)
def test_a_convolution_over_eight_devices(target):
    B, H, C, D, K = 16, 16, 8, 16, 3

    def step(kernel, x):
        def loss(kernel):
            out = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jnp.sum(jnp.sin(out))

        return jax.grad(loss)(kernel)

    made = bench.plan(step, shape(K, K, C, D), shape(B, H, H, C), target=target)
    outputs = B / 8 * (H - K + 1) ** 2 * D
    assert made.flops == 2 * 2 * outputs * K * K * C  # forward, and the gradient of the kernel
    (sent,) = made.collectives
    assert (sent.kind, sent.bytes) == ("all-reduce", 4 * K * K * C * D)


@pytest.mark.parametrize("target", TARGETS)
def test_attention_over_eight_devices(target):
    B, T, H, D = 16, 32, 4, 16

    def step(weights, x):
        def loss(weights):
            heads = (jnp.einsum("btd,dhe->bhte", x, w) for w in weights[:3])
            q, k, v = heads
            scores = jax.nn.softmax(jnp.einsum("bhte,bhse->bhts", q, k) / jnp.sqrt(D), axis=-1)
            mixed = jnp.einsum("bhts,bhse->bhte", scores, v)
            return jnp.sum(jnp.sin(jnp.einsum("bhte,hed->btd", mixed, weights[3])))

        return jax.tree.map(lambda w, g: w - g, weights, jax.grad(loss)(weights))

    weights = [shape(H * D, H, D)] * 3 + [shape(H, D, H * D)]
    made = bench.plan(step, weights, shape(B, T, H * D), target=target)
    width, rows = H * D, B / 8
    projections = 2 * rows * T * width * width
    scores = 2 * rows * H * T * T * D
    # forward and twice backward, but for the gradients in x
    assert made.flops == (3 * 2 + 3) * projections + 3 * 2 * scores
    assert made.executed_flops == pytest.approx(made.flops)
    assert sum(one.bytes * one.times for one in made.collectives) == pytest.approx(
        4 * 4 * width * width, rel=0.01
    )


# A process of its own: its high-water mark without the program, then with it. JAX's client, the
# compiler and the threads are there before the mark is taken; glibc gives every large array pages
# of its own, which it hands back, so that the mark is that of the program alone.
MEASURE = """
import resource, sys
import jax, jax.numpy as jnp
from jaxdl import bench
{program}
plan = bench.plan(step, *shapes, target="cpu", cache=False)
compiled = jax.jit(step, donate_argnums=donate).lower(*shapes).compile()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the mark starts at what is in use now
def mark(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(l.split()[1]) for l in lines if l.startswith(name))
before = mark("VmRSS")
args = [jnp.ones(s.shape, s.dtype) for s in shapes]
jax.block_until_ready(args)
jax.block_until_ready(compiled(*args))
print(mark("VmHWM") - before, plan.peak_bytes)
"""
PROGRAMS = {
    "activations of a perceptron": """
        shapes = [jax.ShapeDtypeStruct((1024, 1024), "float32")] * 2
        shapes += [jax.ShapeDtypeStruct((16384, 1024), "float32")]
        donate = (0, 1)
        def step(a, b, x):
            def loss(a, b):
                return jnp.sum(jnp.sin(jnp.sin(x @ a) @ b))
            da, db = jax.grad(loss, (0, 1))(a, b)
            return a - da, b - db
    """,
    "an optimizer's state": """
        shapes = [jax.ShapeDtypeStruct((4096, 4096), "float32")] * 3
        shapes += [jax.ShapeDtypeStruct((64, 4096), "float32")]
        donate = (0, 1, 2)
        def step(w, m, v, x):
            g = jax.grad(lambda w: jnp.sum(jnp.sin(x @ w)))(w)
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
            return w - m / jnp.sqrt(v + 1e-8), m, v
    """,
    "a loop over steps": """
        shapes = [jax.ShapeDtypeStruct((1024, 1024), "float32")]
        shapes += [jax.ShapeDtypeStruct((2048, 1024), "float32")]
        donate = (0,)
        def step(w, x):
            def loss(w):
                def body(h, _):
                    return jnp.tanh(h @ w), None
                return jnp.sum(jax.lax.scan(body, x, length=16)[0])
            return w - jax.grad(loss)(w)
    """,
}


@pytest.mark.slow  # programs of some hundred megabytes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_peak_is_what_a_process_takes(name):
    program = textwrap.dedent(PROGRAMS[name])
    environment = {**os.environ, "XLA_FLAGS": "", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(program=program)],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    real, planned = (float(number) for number in done.stdout.split())
    assert planned == pytest.approx(real, rel=0.1), (planned / 2**20, real / 2**20)
