"""The command line of every experiment: typed options from a dataclass, one sentence per mistake.

if __name__ == "__main__":
    cli.run(main, Config)

Beside the fields of the dataclass every experiment takes the options of `parallel.Launch`, to run
as one of several processes: --coordinator HOST:PORT --processes N --process-id I, or, where SLURM,
MPI, Kubernetes or a cloud TPU tell the rest, --coordinator auto.
"""

import argparse
import ctypes
import dataclasses
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["keep_freed_memory", "parse", "run", "use_compilation_cache"]

Config = TypeVar("Config")
_MISTAKES = (ValueError, OSError)
_COUNTS = ("batch_size", "batch_sizes", "epochs", "seeds")
_RATES = ("learning_rate", "learning_rates")
_LAUNCH = (
    "As one of several processes: --coordinator HOST:PORT --processes N --process-id I, or "
    "--coordinator auto under SLURM, MPI, Kubernetes or on a cloud TPU."
)


def run(
    main: Callable[[Config], Any],
    config_type: type[Config],
    args: Sequence[str] | None = None,
) -> Any:
    """Parses `args` (`sys.argv` by default) into `config_type`, calls `main`, returns its result.

    A user's mistake (ValueError, a missing file, a foreign run folder) or a full disk is printed as
    one sentence and ends the process with exit code 2; with JAXDL_TRACEBACK=1 in the environment it
    is raised.
    Ctrl-C ends it with 130. Where several processes run together and one fails, all end with 1.
    """
    keep_freed_memory()
    args, launch_options = _split_launch(sys.argv[1:] if args is None else args)
    config = parse(config_type, args, doc=main.__globals__.get("__doc__"))
    from jaxdl import parallel

    try:
        advice = f"run the same command again to continue {getattr(config, 'out', None)}"
        parallel.initialize(parallel.Launch(**launch_options), advice=advice)
        use_compilation_cache()
        parallel.agree(config)
        _check(config)
        return main(config)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not isinstance(error, _MISTAKES) or parallel.is_peer_failure(error):
            parallel.end_together(error)
            raise
        if os.environ.get("JAXDL_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _check(config: Any) -> None:
    """Raises ValueError for options that no experiment can run with; a default may be 0."""
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if value == field.default:
            # the data that an experiment starts with are embedded
            if name == "data" and getattr(config, "data_dir", None) is not None:
                raise ValueError(f"{value} is embedded and reads no folder; leave data_dir out")
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float):
                continue
            if name in _COUNTS and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
            if name in _RATES and not 0 < number < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {number}")


def _split_launch(args: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Takes the launch options out, which are no part of an experiment's configuration."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process-id", type=int)
    launch, rest = parser.parse_known_args(list(args))
    return rest, vars(launch)


def parse(
    config_type: type[Config], args: Sequence[str] | None = None, doc: str | None = None
) -> Config:
    """Parses options into a dataclass; `--help` shows every field with its comment and default.

    >>> Options = dataclasses.make_dataclass("Options", [("epochs", int, 3), ("rate", float, 0.1)])
    >>> parse(Options, ["--epochs", "5"])
    Options(epochs=5, rate=0.1)
    """
    import tyro

    return tyro.cli(config_type, args=args, description=f"{doc or ''}\n\n{_LAUNCH}")


def keep_freed_memory() -> None:
    """Has glibc keep freed memory instead of handing it back to the kernel, page by page.

    A training step on the CPU frees and takes the same buffers again and again, and its page faults
    are felt where arrays are large. It has to come before the first program runs, so a launcher
    does it, not the library; elsewhere than on glibc it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    largest = 2**31 - 1
    for option, value in (
        (-8, 1),  # M_ARENA_MAX: one heap for all threads, or what one frees another cannot reuse
        (-3, largest),  # M_MMAP_THRESHOLD
        (-1, largest),  # M_TRIM_THRESHOLD
        (-4, 0),  # M_MMAP_MAX
    ):
        libc.mallopt(option, value)


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, for the next start.

    JAX's own settings come first: JAX_COMPILATION_CACHE_DIR names another folder, and an empty one
    turns the cache off.
    """
    import jax

    from jaxdl.data import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
