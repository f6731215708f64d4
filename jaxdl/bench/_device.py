"""What the device can do at best, measured, and what it has used."""

import ctypes
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.bench._timing import measure


@dataclasses.dataclass(frozen=True)
class Peaks:
    """The best rates seen on one device, with the sizes they were seen at.

    >>> peaks = Peaks({"float32": 1e12}, bytes=1e11, host_to_device=1e10)
    >>> peaks.limit(flops=2e9, bytes=1e9)  # 2 ms of computing, 10 ms of moving
    0.01

    Attributes:
        flops: by dtype, operations per second of a square matrix product.
        bytes: bytes read and written per second by an array that is copied and scaled.
        host_to_device: bytes per second of `device_put`; on a CPU no more than a copy, or nothing
            at all where the array is shared.
    """

    flops: Mapping[str, float]
    bytes: float
    host_to_device: float

    def limit(self, flops: float, bytes: float, dtype: str = "float32") -> float:
        """Seconds the roofline allows at least: the slower of computing and moving."""
        return max(flops / self.flops[dtype], bytes / self.bytes)


def measure_peaks(
    sizes: tuple[int, ...] | None = None,
    dtypes: tuple[str, ...] = ("float32", "bfloat16"),
    megabytes: int | None = None,
    repeats: int = 5,
) -> Peaks:
    """Measures the peaks of the first device: products, memory, transfer from the host.

    Products are at JAX's default precision, which is TF32 for float32 on an NVIDIA GPU and one
    bfloat16 pass on a TPU.

    >>> peaks = measure_peaks(sizes=(64,), dtypes=("float32",), megabytes=1, repeats=2)
    >>> list(peaks.flops), peaks.flops["float32"] > 0, peaks.bytes > 0
    (['float32'], True, True)

    Args:
        sizes: of the square products, the fastest of which counts; (1024, 2048) on a CPU and
            (4096, 8192, 16384) elsewhere if not given.
        dtypes: of the products.
        megabytes: of the array that is copied, several times the largest cache; 256 on a CPU, 1024
            elsewhere if not given.
        repeats: of each measurement, the median of which counts.
    """
    cpu = jax.default_backend() == "cpu"
    sizes = sizes or ((1024, 2048) if cpu else (4096, 8192, 16384))
    megabytes = megabytes or (256 if cpu else 1024)
    flops = {dtype: max(_product(n, dtype, repeats) for n in sizes) for dtype in dtypes}
    array = jnp.ones((megabytes << 20) // 4, jnp.float32)
    # not donated: read from one place and written to another
    copied = measure(jax.jit(lambda x: x * 1.5), array, repeats=repeats)
    host = np.ones((min(megabytes, 256) << 20) // 4, np.float32)
    put = measure(functools.partial(jax.device_put, may_alias=False), host, repeats=repeats)
    return Peaks(flops, 2 * array.nbytes / copied.median, host.nbytes / put.median)


def _product(size: int, dtype: str, repeats: int) -> float:
    a = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
    timing = measure(jax.jit(jnp.matmul), a, a, repeats=repeats, min_seconds=0.02)
    return 2 * size**3 / timing.median


def make_probe(size: int | None = None, megabytes: int = 64) -> Callable[[], float]:
    """Builds a fixed piece of work whose seconds tell how fast the machine is at the moment.

    Called before and after a measurement it shows what no spread within the measurement can: that
    the whole of it fell into a slow minute (another tenant, a lower clock).

    >>> probe = make_probe(size=64, megabytes=1)
    >>> probe() > 0
    True

    Args:
        size: side of a square product in float32; 1024 on a CPU and 8192 elsewhere if not given.
        megabytes: of an array that is copied and scaled.
    Returns: a function that does both seven times and gives the median.
    """
    size = size or (1024 if jax.default_backend() == "cpu" else 8192)
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    array = jnp.ones((megabytes << 20) // 4, jnp.float32)
    work = jax.jit(lambda a, x: (a @ a, x * 1.5))
    jax.block_until_ready(work(a, array))

    def probe() -> float:
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            jax.block_until_ready(work(a, array))
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))

    return probe


def device_bytes(device: Any = None) -> int | None:
    """Most bytes in use on a device since the process began, or None where it does not tell.

    >>> device_bytes() is None  # on a CPU
    True
    """
    stats = (device or jax.devices()[0]).memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None


def energy_joules() -> float | None:
    """A counter of the energy used so far, or None where the machine does not tell.

    NVIDIA's driver counts each GPU (the sum of all is returned); on a CPU Linux shows Intel's and
    AMD's counters to those who may read them. Only differences mean something; the CPU's counters
    wrap around every few minutes to hours.

    >>> before = energy_joules()
    >>> before is None or energy_joules() - before < 1e3
    True
    """
    if jax.default_backend() == "gpu":
        return _nvidia_joules()
    zones = pathlib.Path("/sys/class/powercap").glob("intel-rapl:[0-9]")
    try:
        counters = [int((zone / "energy_uj").read_text()) for zone in zones]
    except OSError:
        return None
    return sum(counters) / 1e6 if counters else None


def _nvidia_joules() -> float | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    count, total = ctypes.c_uint(), 0
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return None
    for index in range(count.value):
        handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            return None
        if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
            return None
        total += millijoules.value
    return total / 1e3
