"""Machines that programs are compiled for: names, published peaks, and how the compiler gets them.

Peaks are those of dense products: half of what NVIDIA's data sheets give "with sparsity", and for
B200's TF32 half of its bfloat16, which the sheet rounds down. `interconnect` is what one chip sends
per second over all its links, which is half of the "bidirectional" figure of NVIDIA's sheets and of
Google's pages.
"""

import dataclasses
import importlib.util
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

GIB = 1 << 30
_TPU_DOCS = "docs.cloud.google.com/tpu/docs/"


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator and its published peaks.

    >>> CHIPS["h100"].flops["bfloat16"], CHIPS["v5e"].memory_bytes / 2**30
    (989400000000000.0, 16.0)

    Attributes:
        name: as in a target.
        kind: "tpu", "gpu" or "cpu".
        flops: by format of the operands, operations per second of dense products.
        memory_bytes: device memory of a chip.
        usable: share of it that programs may use: a TPU's compiler keeps the rest, and JAX takes
            three quarters of a GPU's unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
        memory_rate: bytes per second of that memory.
        interconnect: bytes per second that a chip sends to its neighbors in one host or pod.
        network: bytes per second that a chip sends to other hosts; 0 where no such step exists.
        cores: devices that JAX shows for a chip.
        cache_bytes: last-level cache, which keeps arrays from the memory where they fit.
        source: where the peaks are published.
        architecture: of a GPU: compute capability, multiprocessors, shared memory, clock.
    """

    name: str
    kind: str
    flops: Mapping[str, float]
    memory_bytes: float
    memory_rate: float
    interconnect: float
    network: float = 0.0
    cores: int = 1
    cache_bytes: float = 0.0
    source: str = ""
    architecture: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    usable: float = 1.0


def _tpu(
    name: str,
    bf16: float,
    memory: float,
    rate: float,
    link: float,
    page: str,
    cores: int = 1,
    usable: float = 1.0,
) -> Chip:
    # A product in float32 takes six passes in bfloat16 (precision HIGHEST), or three (HIGH).
    flops = {"bfloat16": bf16, "float16": bf16, "bfloat16_3x": bf16 / 3, "float32": bf16 / 6}
    return Chip(
        name, "tpu", flops, memory * GIB, rate, link, cores=cores, source=_TPU_DOCS + page,
        usable=usable / memory,
    )  # fmt: skip


def _gpu(
    name: str,
    half: float,
    tf32: float,
    single: float,
    memory: float,
    rate: float,
    link: float,
    network: float,
    source: str,
    **architecture: Any,
) -> Chip:
    flops = {"bfloat16": half, "float16": half, "tf32": tf32, "float32": single}
    flops["bfloat16_3x"] = half / 3
    cache = architecture["l2_cache_size"]
    return Chip(
        name, "gpu", flops, memory, rate, link, network, 1, cache, source, architecture
    )  # fmt: skip


_HOPPER = {"capability": (9, 0), "core_count": 132, "shared": 233472, "clock_rate_ghz": 1.98}
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        # last: the GiB that libtpu's compiler names when a program does not fit
        _tpu("v4", 275e12, 32, 1.2e12, 300e9, "v4; arXiv:2304.01433, table 4", 2, usable=30.5),
        _tpu("v5e", 197e12, 16, 819e9, 200e9, "v5e", usable=15.75),
        _tpu("v5p", 459e12, 95.74, 2.765e12, 600e9, "v5p", usable=95.74),
        _tpu("v6e", 918e12, 32, 1.638e12, 400e9, "v6e", usable=31.25),
        _tpu("7x", 2307e12, 192, 7.38e12, 600e9, "tpu7x", 2, usable=189.5),
        _gpu(
            "a100", 312e12, 156e12, 19.5e12, 85_097_971_712, 2.039e12, 300e9, 25e9,
            "NVIDIA A100 data sheet (SXM 80 GB); DGX A100: 200 Gb/s a GPU",
            capability=(8, 0), core_count=108, shared=167936, clock_rate_ghz=1.41,
            l2_cache_size=41_943_040, fpus_per_core=64,
        ),
        _gpu(
            "h100", 989.4e12, 494.7e12, 66.9e12, 84_978_434_048, 3.352e12, 450e9, 50e9,
            "NVIDIA H100 data sheet (SXM 80 GB); DGX H100: 400 Gb/s a GPU",
            l2_cache_size=52_428_800, fpus_per_core=128, **_HOPPER,
        ),
        _gpu(
            "h200", 989.4e12, 494.7e12, 66.9e12, 150_110_011_392, 4.8e12, 450e9, 50e9,
            "NVIDIA H200 data sheet (SXM 141 GB); DGX H200: 400 Gb/s a GPU",
            l2_cache_size=62_914_560, fpus_per_core=128, **_HOPPER,
        ),
        _gpu(
            "b200", 2250e12, 1125e12, 75e12, 191_514_017_792, 7.7e12, 900e9, 50e9,
            "NVIDIA Blackwell data sheet (HGX B200, 180 GB); DGX B200 guide: 400 Gb/s a GPU",
            capability=(10, 0), core_count=148, shared=233472, clock_rate_ghz=1.965,
            l2_cache_size=132_644_864, fpus_per_core=128,
        ),
    )
}  # fmt: skip
"""By name, with its source; of the CPU nothing is published, see `measure_peaks`."""

# Slices with as many chips as asked for; a smaller one is the first chips of the first.
_FLAT = {4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_CUBES = {
    4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8",
    512: "8x8x8", 1024: "8x8x16", 2048: "8x16x16", 4096: "16x16x16",
}  # fmt: skip
_GRAMMAR = (
    "targets are v4, v5e, v5p, v6e or 7x with chips or a topology (v5e-256, v5e:16x16), a100, "
    "h100, h200 or b200 with devices and hosts (h100-8, h100-8x16), or cpu (cpu-4)"
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A machine by name.

    >>> target = Target.parse("h100-8x16")
    >>> target.chip.name, target.chips, target.hosts
    ('h100', 128, 16)
    >>> Target.parse("v5e-256").topology
    '16x16'

    Attributes:
        name: as given.
        chip: what it is made of.
        chips: how many.
        hosts: how many hosts they sit in; of TPUs the whole slice counts as one, for its
            interconnect does not end at a host.
        topology: of a TPU slice.
    """

    name: str
    chip: Chip
    chips: int
    hosts: int = 1
    topology: str = ""

    @classmethod
    def parse(cls, name: str) -> "Target":
        """Reads a name such as "v5e-256", "v5e:16x16", "h100-8", "h100-8x16", "cpu".

        Raises:
            ValueError: if the name is none of a target; the message lists what there is.
        """
        found = re.fullmatch(r"([a-z0-9]+?)(?:-(\d+)(?:x(\d+))?|:(\d+(?:x\d+){1,2}))?", name)
        family = "" if found is None else found[1].removeprefix("tpu")
        if found is None or family not in {*CHIPS, "cpu"}:
            raise ValueError(f"target {name!r} is unknown; {_GRAMMAR}")
        count, hosts = int(found[2] or 1), int(found[3] or 1)
        if count < 1 or hosts < 1:
            raise ValueError(f"target {name!r} needs at least one device; {_GRAMMAR}")
        if family == "cpu":
            if found[4] or found[3]:
                raise ValueError(f"target {name!r} is unknown; {_GRAMMAR}")
            return cls(name, this_cpu(), count)
        chip = CHIPS[family]
        if chip.kind == "gpu":
            if found[4]:
                raise ValueError(f"target {name!r} has no topology: GPUs are counted; {_GRAMMAR}")
            return cls(name, chip, count * hosts, hosts)
        if found[3]:
            raise ValueError(f"target {name!r} wants a colon before a topology; {_GRAMMAR}")
        if found[4]:
            return cls(name, chip, math.prod(map(int, found[4].split("x"))), 1, found[4])
        table = _FLAT if family in ("v5e", "v6e") else _CUBES
        if count not in {1, 2, *table}:
            sizes = ", ".join(map(str, [1, 2, *table]))
            raise ValueError(f"{family} comes in slices of {sizes} chips, got {name!r}")
        return cls(name, chip, count, 1, table.get(count, table[4]))

    @property
    def num_devices(self) -> int:
        """Devices that JAX shows: chips times the cores that are devices of their own."""
        return self.chips * self.chip.cores

    @property
    def flops(self) -> dict[str, float]:
        """Peaks of one device, by format."""
        return {name: rate / self.chip.cores for name, rate in self.chip.flops.items()}

    @property
    def memory_rate(self) -> float:
        """Bytes per second of one device's memory."""
        return self.chip.memory_rate / self.chip.cores

    @property
    def capacity(self) -> int:
        """Bytes that a program may use on one device."""
        share = self.chip.usable
        if self.chip.kind == "gpu":
            share = float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75"))
        return int(share * self.chip.memory_bytes / self.chip.cores)

    def devices(self) -> list[Any]:
        """Devices to compile for; nothing can be executed on them.

        Raises:
            ValueError: if the compiler is not installed, is held by another process, or refuses
                the topology; a CPU has too few devices.
        """
        if self.chip.kind == "cpu":
            found = jax.devices("cpu")
            if len(found) < self.num_devices:
                raise ValueError(
                    f"target {self.name!r} needs {self.num_devices} devices, this CPU shows "
                    f"{len(found)}; XLA_FLAGS=--xla_force_host_platform_device_count="
                    f"{self.num_devices} makes more"
                )
        else:
            found = _tpu_devices(self) if self.chip.kind == "tpu" else _gpu_devices(self)
        return found[: self.num_devices]


_KINDS = {"v4": "v4", "v5 lite": "v5e", "v5e": "v5e", "v5": "v5p", "v5p": "v5p"} | {
    "v6 lite": "v6e", "v6e": "v6e", "7x": "7x",
}  # fmt: skip


def chip_of(device_kind: str) -> Chip | None:
    """The chip that JAX calls so; None for one whose peaks are not in the table.

    >>> chip_of("NVIDIA H100 80GB HBM3").name, chip_of("TPU v5 lite").name, chip_of("cpu")
    ('h100', 'v5e', None)

    Args:
        device_kind: `jax.devices()[0].device_kind`. Cards for PCIe have peaks of their own, which
            are not in the table.
    """
    kind = device_kind.lower()
    if kind.startswith("tpu"):
        name = _KINDS.get(kind.removeprefix("tpu").strip())
        return None if name is None else CHIPS[name]
    found = re.search(r"\b(a100|h100|h200|b200)\b", kind)
    return None if found is None or "pcie" in kind else CHIPS[found[1]]


def this_cpu() -> Chip:
    """The machine at hand: its memory is known, its peaks are not.

    >>> this_cpu().kind, this_cpu().memory_bytes > 1e8
    ('cpu', True)
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Chip("cpu", "cpu", {}, memory, math.nan, math.nan, source="not published")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that holds it
        return False


def _tpu_devices(target: Target) -> list[Any]:
    if not _installed("libtpu"):
        raise ValueError(
            f"target {target.name!r} needs the TPU compiler: pip install 'jaxdl[plan-tpu]'"
        )
    name = f"{'tpu7x' if target.chip.name == '7x' else target.chip.name}:{target.topology}"
    # Neither asks Google's metadata server, nor wants the chips that another process may hold.
    settings = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    settings["TPU_WORKER_HOSTNAMES"] = "localhost"
    added = {key: value for key, value in settings.items() if key not in os.environ}
    os.environ.update(added)
    try:
        return _topology(target, platform="tpu", topology_name=name)
    finally:
        for key in added:
            del os.environ[key]


def _gpu_devices(target: Target) -> list[Any]:
    if not _installed("jax_plugins.xla_cuda12"):
        raise ValueError(
            f"target {target.name!r} needs the CUDA compiler: pip install 'jaxdl[plan-gpu]'"
        )
    _find_ptxas()
    shape = f"1x{target.hosts}x{target.chips // target.hosts}"
    config = _gpu_config(target.chip)
    return _topology(
        target, platform="cuda", topology_name=shape, topology=shape, target_config=config
    )


def _topology(target: Target, **arguments: Any) -> list[Any]:
    from jax.experimental import topologies

    try:
        return list(topologies.get_topology_desc(**arguments).devices)
    except (RuntimeError, NotImplementedError) as error:
        text = " ".join(str(error).split())
        if "already in use" in text or "lockfile" in text:
            raise ValueError(
                f"libtpu is held by another process, so that target {target.name!r} cannot be "
                f"planned here: {text}"
            ) from None
        raise ValueError(f"the compiler refuses target {target.name!r}: {text}") from None


def _find_ptxas() -> None:
    """Puts the assembler of nvidia-cuda-nvcc on the path, where it is installed."""
    try:
        spec = importlib.util.find_spec("nvidia.cuda_nvcc")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec and spec.submodule_search_locations) or ():
        path = os.environ.get("PATH", "").split(os.pathsep)
        if (binaries := str(pathlib.Path(folder) / "bin")) not in path:
            os.environ["PATH"] = os.pathsep.join([binaries, *path])


def _gpu_config(chip: Chip) -> str:
    """The description that XLA's compiler takes, a `GpuTargetConfigProto` as text."""
    it = chip.architecture
    numbers = {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 49152,
        "shared_memory_per_core": it["shared"],
        "shared_memory_per_block_optin": it["shared"] - 1024 if it["shared"] != 167936 else 166912,
        "threads_per_core_limit": 2048,
        "core_count": it["core_count"],
        "fpus_per_core": it["fpus_per_core"],
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "memory_bandwidth": int(chip.memory_rate),
        "l2_cache_size": it["l2_cache_size"],
        "clock_rate_ghz": it["clock_rate_ghz"],
        "device_memory_size": int(chip.memory_bytes),
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
    }
    major, minor = it["capability"]
    fields = " ".join(f"{name}: {value}" for name, value in numbers.items())
    return (
        f"gpu_device_info {{ cuda_compute_capability {{ major: {major} minor: {minor} }} {fields} "
        '} platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 patch: 0 } '
        f'runtime_version {{ major: 12 minor: 9 patch: 0 }} device_description_str: "{chip.name}"'
    )


def lay_out(devices: Sequence[Any], sizes: Mapping[str, int]) -> jax.sharding.Mesh:
    """A mesh of devices that are not there, axes as in `sizes`, outermost first."""
    import numpy as np

    kinds = (jax.sharding.AxisType.Auto,) * len(sizes)
    shape = tuple(sizes.values())
    return jax.sharding.Mesh(np.array(devices).reshape(shape), tuple(sizes), kinds)
