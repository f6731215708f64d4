"""Strict settings for every test: eight CPU devices, no rank promotion, a shared compilation cache.

They are set here, before jax is imported anywhere, because XLA reads its flags only once.

Two thirds of the suite's time were LLVM optimizing programs that run once, so they are compiled
without. What a test says of optimized programs alone (the last digits of a tanh, equal bits from
two programs) has the mark `optimized` and runs in a process of its own that has the optimizations.
`JAXDL_TESTS=optimized` gives them to all tests, as `.ci/run oldest` and `.ci/run newest` do.
"""

import gc
import importlib.metadata
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

OPTIMIZED = os.environ.get("JAXDL_TESTS") == "optimized"
# As they were given: workers inherit what is set below.
FLAGS = os.environ.setdefault("JAXDL_TESTS_XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
QUICK = ["--xla_backend_optimization_level=0"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
    QUICK.append("--xla_cpu_use_fusion_emitters=false")  # a flag of these versions only
os.environ["XLA_FLAGS"] = " ".join(
    [FLAGS, "--xla_force_host_platform_device_count=8", *([] if OPTIMIZED else QUICK)]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

cache = pathlib.Path(tempfile.gettempdir()) / f"jaxdl-test-cache-{os.getuid()}"
jax.config.update("jax_compilation_cache_dir", str(cache))
# jaxlib 0.10 has crashed while it wrote a program that was not optimized into the cache, in workers
# that had run a thousand tests: they are quick to compile anew.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2 if OPTIMIZED else 20.0)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow, so no deadline; few examples unless asked for more.
hypothesis.settings.register_profile("default", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


_ran = itertools.count()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Lets go of compiled programs before Linux has no mapping left for one more.

    A process may have 65,530, a program takes a few, and jaxlib crashes while it compiles or loads
    one that gets none, as it did in workers that had run a thousand tests.
    """
    if next(_ran) % 10 == 0 and _mappings() > 20_000:
        jax.clear_caches()
        gc.collect()


def _mappings() -> int:
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test with the mark `optimized` by itself, where programs are not optimized here."""
    if OPTIMIZED or pyfuncitem.get_closest_marker("optimized") is None:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        + ["-m", "", pyfuncitem.nodeid],  # slow ones too: whoever asked for them is here
        env={**os.environ, "JAXDL_TESTS": "optimized", "XLA_FLAGS": FLAGS},
        cwd=pyfuncitem.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    return True
