# %% [markdown]
# # Benchmark an accelerator
#
# Timing a JAX program takes care: calls return before the work is done, the first one compiles, and
# other work on the machine comes and goes. [`bench`](../reference/bench.md) waits, warms up, repeats,
# and says how sure the median is.

# %%
import jax
import jax.numpy as jnp

from jaxdl import bench, plots


@jax.jit
def product(a, b):
    return a @ b


@jax.jit
def added(a, b):
    return a + b


a = b = jnp.ones((512, 512))
timing = bench.measure(product, a, b)
low, high = timing.interval
print(
    f"median {timing.median * 1e3:.3f} ms, 95 % between {low * 1e3:.3f} and {high * 1e3:.3f} ms"
)
print("noisy:", timing.noisy)

# %% [markdown]
# ## Two ways of doing the same
#
# `interleave` takes them in turns, A B A B, so that a busy machine is busy for both. `ratio` says how
# many times faster, with its spread; what differs by less than the spread is called the same.

# %%
timings = bench.interleave(
    {"a @ b": lambda: product(a, b), "a + b": lambda: added(a, b)}
)
print(bench.ratio(timings["a + b"], timings["a @ b"]))

# %% [markdown]
# ## What the compiler says
#
# `analyze` compiles a function and reads its operations and bytes:

# %%
program = bench.analyze(product, a, b)
print("operations", program.flops, "wanted", 2 * 512**3)

# %% [markdown]
# ## How near to the roof
#
# The peaks of the device are measured, not looked up. A program of few operations a byte is bound by
# memory (the slope), one of many by arithmetic (the flat part).

# %% alt="The roofline of this device, with a matrix product near the flat part and a sum on the slope"
peaks = bench.measure_peaks(
    sizes=(512,), dtypes=("float32",), megabytes=64, repeats=3
)
print(f"{peaks.flops['float32'] / 1e9:.0f} GFLOP/s, {peaks.bytes / 1e9:.1f} GB/s")

# %% alt="The roofline of this device: the product lies far to the right, the sum far to the left"
programs = {
    "a @ b": (bench.analyze(product, a, b), timings["a @ b"]),
    "a + b": (bench.analyze(added, a, b), timings["a + b"]),
}
points = {
    name: (made.flops / made.xla_bytes, made.flops / timing.median)
    for name, (made, timing) in programs.items()
}
plots.roofline(points, peaks.flops["float32"], peaks.bytes)

# %% [markdown]
# ## A whole device
#
# `python -m experiments.benchmark` measures a device, then every kind of program of this library
# against its peaks, and writes JSON. Two such files are compared with intervals, and a regression is
# told from noise:
#
# ```console
# $ python -m experiments.benchmark --smoke
# $ python -m jaxdl.bench compare A.json B.json
# $ python -m experiments.growth --smoke
# ```
#
# `python -m experiments.compare_peers` does the same work in jaxdl and in other libraries, each in a
# process of its own, in turns. Its results, with the cases where we are slower, are on the page
# [speed](../speed.md).
