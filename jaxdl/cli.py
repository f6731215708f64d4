"""The command line of every experiment: typed options from a dataclass, one sentence per mistake.

if __name__ == "__main__":
    cli.run(main, Config)

Beside the fields of the dataclass every experiment takes the options of `parallel.Launch`, to run
as one of several processes: --coordinator HOST:PORT --processes N --process-id I, or, where SLURM,
MPI, Kubernetes or a cloud TPU tell the rest, --coordinator auto. With --elastic such a run starts
itself again, from its last checkpoint, with the processes that are left when one died.

With --plan TARGET an experiment that trains by `train.fit` or `train.sweep`, or offers the step of
a loop of its own (`train.offer_plan`), compiles its step for a machine that is not there, prints
what it will need, writes plan.json and plan.png, and ends: `bench.plan` says which targets there
are. Several, with commas between, give the scaling on paper. The same command given again prints
what the cache folder keeps. With --summary an experiment that trains by `train.fit` prints
parameters, operations and memory of every module, and ends. --watch EVERY and --profile STEPS look
at training without changing it.

With --record the numbers that an experiment returns are added to results.json beside it, with the
command, the seconds, the machine and the checksums of the data: see `runs.record`.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import hashlib
import importlib.metadata
import inspect
import json
import math
import os
import pathlib
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from jaxdl._interrupt import second_interrupt_ends

__all__ = ["keep_freed_memory", "parse", "run", "use_compilation_cache"]

Config = TypeVar("Config")
_MISTAKES = (ValueError, OSError, FloatingPointError)
_COUNTS = ("batch_size", "batch_sizes", "epochs", "seeds")
_RATES = ("learning_rate", "learning_rates")
_MOST_SEED = 2**31 - 1
_LAUNCH = (
    "As one of several processes: --coordinator HOST:PORT --processes N --process-id I, or "
    "--coordinator auto under SLURM, MPI, Kubernetes or on a cloud TPU. With --elastic those that "
    "are left when one dies go on. With --plan TARGET (v5e-256, h100-8, ...) nothing is trained: "
    "the step is compiled for that machine and what it needs is printed. With --record the numbers "
    "are added to results.json beside the experiment."
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
    So is a result whose loss is no finite number: training diverged. Ctrl-C ends the process with
    130, a second one at once. Where several processes run together and one fails, all end with 1.
    """
    keep_freed_memory()
    args, launch_options = _split_launch(sys.argv[1:] if args is None else args)
    targets, recorded = launch_options.pop("plan"), launch_options.pop("record")
    summary, elastic = launch_options.pop("summary"), launch_options.pop("elastic")
    looks = {name: launch_options.pop(name) for name in ("watch", "profile")}
    config = parse(config_type, args, doc=main.__globals__.get("__doc__"))
    from jaxdl import parallel

    if targets is not None or summary:
        import jax

        jax.config.update("jax_platforms", "cpu")  # the chips of this machine are not wanted
    try:
        if elastic:
            _check(config)
            code = parallel.supervise(_this_command, parallel.Launch(**launch_options))
            raise SystemExit(code)
        advice = f"run the same command again to continue {getattr(config, 'out', None)}"
        parallel.initialize(parallel.Launch(**launch_options), advice=advice)
        use_compilation_cache()
        parallel.agree(config)
        _check(config)
        if targets is not None:
            return _plan(main, config, targets.split(","))
        if summary:
            return _summarize(main, config)
        with second_interrupt_ends(), _looking(**looks):
            result = _record(main, config, args) if recorded else main(config)
        _check_result(result)
        return result
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


def _this_command(launch: Any) -> list[str]:
    """What started this process, as another one of so many, and not elastic: see `run`."""
    given = [arg for arg in sys.argv[1:] if arg != "--elastic"]
    started = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    numbers = ["--processes", str(launch.processes), "--process-id", str(launch.process_id)]
    return [sys.executable, *started, *given, *numbers]


def _check_result(result: Any) -> None:
    """Raises FloatingPointError where a loss among an experiment's numbers is not finite."""
    for name, value in result.items() if isinstance(result, dict) else ():
        if name.rpartition("/")[2] == "loss" and not math.isfinite(value):
            raise FloatingPointError(
                f"training diverged, {name} is {value}: the learning rate may be too high, or the "
                "data hold values that are not finite"
            )


def _name(main: Callable[[Any], Any]) -> str:
    """The experiment's, whether it was started as a module or as a file."""
    return pathlib.Path(main.__globals__.get("__file__", main.__module__)).stem


def _record(main: Callable[[Any], Any], config: Any, args: Sequence[str]) -> Any:
    """Runs an experiment and adds its numbers to results.json beside it."""
    import jax

    from jaxdl import runs

    path = pathlib.Path(main.__globals__["__file__"]).with_name("results.json")
    start, cpu = time.monotonic(), sum(os.times()[:4])  # children's are counted as well
    with runs.following() as opened:
        numbers = main(config)
    doc = (main.__globals__.get("__doc__") or "").strip()
    if jax.process_index() == 0:
        whole = not any(run.continued for run in opened)  # else it took longer than this part
        runs.record(
            path,
            _name(main),
            args,
            numbers,
            seconds=time.monotonic() - start if whole else None,
            cpu_seconds=sum(os.times()[:4]) - cpu if whole else None,
            folders=[run.folder for run in opened],
            shows=doc.split("\n")[0].rstrip("."),
        )
        print(f"recorded in {path}")
    return numbers


def _plan(main: Callable[[Any], Any], config: Any, targets: Sequence[str]) -> Any:
    """Runs an experiment up to its training step, which is planned instead of taken."""
    from jaxdl import bench, train

    for target in targets:
        bench.Target.parse(target)  # a typing mistake shows before data are read
    name = _name(main)
    folder = pathlib.Path(main.__globals__.get("__file__", "plans")).resolve().parent
    if not _trains(main.__globals__, folder):
        raise ValueError(f"{name} trains nothing by jaxdl.train: there is no step to plan")
    out = getattr(config, "out", None) or pathlib.Path("plans") / f"{name}-{'-'.join(targets)}"
    kept = _kept_plans(folder, name, config, targets)
    if (kept / "plan.json").exists():
        content = json.loads((kept / "plan.json").read_text())
        plans = {target: bench.Plan.from_json(one) for target, one in content.items()}
        for plan in plans.values():
            print(bench.describe(dataclasses.replace(plan, cached=True)) + "\n")
        _end_plan(kept, out)
    with tempfile.TemporaryDirectory() as temporary:
        if hasattr(config, "out"):  # what an experiment writes before it trains is not kept
            config = dataclasses.replace(config, out=pathlib.Path(temporary) / "run")
        with train.planning(lambda *args: _plan_step(*args, targets=targets, kept=kept, out=out)):
            main(config)
    raise ValueError(f"{name} offers no training step: there is nothing to plan")


def _summarize(main: Callable[[Any], Any], config: Any) -> Any:
    """Runs an experiment up to its training step, and prints what each of its modules does."""
    import tempfile

    from jaxdl import inspect, train

    def taker(training: Any) -> None:
        import jax

        step = jax.make_jaxpr(training.trainer.step)(training.state, training.batch(0))
        print(inspect.ledger_of_step(step, training.state.params))
        raise SystemExit(0)

    with tempfile.TemporaryDirectory() as folder, train.intercepting(taker):
        if hasattr(config, "out"):
            config = dataclasses.replace(config, out=pathlib.Path(folder) / "run")
        main(config)
    raise ValueError("this experiment does not train by train.fit, so that there is no step")


@contextlib.contextmanager
def _looking(watch: int | None, profile: int | None) -> Iterator[None]:
    """What `--watch EVERY` and `--profile STEPS` ask for."""
    from jaxdl import runs, train

    with contextlib.ExitStack() as stack:
        if watch is not None:
            stack.enter_context(runs.watching(watch))
        if profile is not None:
            stack.enter_context(train.profiling(profile))
        yield


def _plan_step(
    step: Any,
    args: tuple[Any, ...],
    batch_argnums: Sequence[int],
    layout: Any,
    *,
    targets: Sequence[str],
    kept: pathlib.Path,
    out: pathlib.Path,
) -> None:
    """Plans a step for every target, prints and writes the plans, and ends the process."""
    import jax

    from jaxdl import bench, parallel, plots

    plans: dict[str, Any] = {}
    for target in targets:
        devices = bench.Target.parse(target).num_devices
        mesh: Any = jax.sharding.AbstractMesh((1, devices, 1), ("replica", "data", "model"))
        if layout is not None and layout.mesh.size == devices:
            mesh = layout.mesh
        placed = parallel.Layout(mesh)
        if layout is not None:
            placed = dataclasses.replace(layout, mesh=mesh)
        with _progress() as say:
            plans[target] = bench.plan(
                step, *args, target=target, layout=placed,
                batch_argnums=batch_argnums, progress=say,
            )  # fmt: skip
        print(bench.describe(plans[target]) + "\n")
    content = {target: plan.to_json() for target, plan in plans.items()}
    with tempfile.TemporaryDirectory() as temporary:
        made = pathlib.Path(temporary)
        (made / "plan.json").write_text(json.dumps(content, indent=1) + "\n")
        plots.plans(plans).savefig(made / "plan.png")
        if len(plans) > 1:
            plots.plan_scaling({"same batch": plans}).savefig(made / "scaling.png")
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            part = kept.with_suffix(f".{os.getpid()}")
            shutil.copytree(made, part)
            part.rename(kept)
        _end_plan(made, out)


def _end_plan(made: pathlib.Path, out: pathlib.Path) -> NoReturn:
    out.mkdir(parents=True, exist_ok=True)
    for path in made.iterdir():
        shutil.copyfile(path, out / path.name)
    print(f"wrote {out / 'plan.json'} and plan.png")
    raise SystemExit(0)


def _trains(
    scope: Mapping[str, Any], folder: pathlib.Path, seen: frozenset[str] = frozenset()
) -> bool:
    """Whether a module, or one beside it that it uses, takes anything from jaxdl.train."""
    for value in list(scope.values()):
        name = str(getattr(value, "__name__" if inspect.ismodule(value) else "__module__", ""))
        if name.startswith("jaxdl.train"):
            return True
        module = sys.modules.get(name)
        beside = pathlib.Path(getattr(module, "__file__", None) or "/").parent == folder
        if beside and name not in seen and _trains(vars(module), folder, seen | {name}):
            return True
    return False


def _kept_plans(
    folder: pathlib.Path, name: str, config: Any, targets: Sequence[str]
) -> pathlib.Path:
    """Where the plans of a command are kept: by all that they depend on, before data are read.

    That is the code of the library, of the experiment and of its neighbors, the installed packages,
    the options, the files that options name (their sizes and times), and the settings of JAX and
    XLA. A folder of plans is written whole or not at all.
    """
    from jaxdl.data import cache_folder

    digest = hashlib.sha256()
    for path in sorted([*pathlib.Path(__file__).parent.rglob("*.py"), *folder.glob("*.py")]):
        digest.update(f"{path}\n".encode() + path.read_bytes())
    options = dataclasses.replace(config, out=None) if hasattr(config, "out") else config
    packages = [f"{p.name}=={p.version}" for p in importlib.metadata.distributions()]
    settings = [
        f"{k}={v}" for k, v in os.environ.items() if k.startswith(("JAX_", "XLA_", "LIBTPU"))
    ]
    parts = [name, repr(options), *targets, *sorted(packages), *sorted(settings)]
    for value in vars(options).values():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, pathlib.Path):
                for file in sorted([path, *path.rglob("*")]):
                    stat = file.stat() if file.exists() else None
                    parts.append(f"{file} {stat and (stat.st_size, stat.st_mtime_ns)}")
    digest.update("\n".join(parts).encode())
    return cache_folder() / "plans" / digest.hexdigest()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line that says what is being done and for how long; only where somebody looks."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("planning") as status:
        start = time.monotonic()
        done = threading.Event()
        text = "planning"

        def say(what: str) -> None:
            nonlocal text
            text = what

        def tick() -> None:
            while not done.wait(0.5):
                status.update(f"{text}: {time.monotonic() - start:.0f} s")

        threading.Thread(target=tick, daemon=True).start()
        try:
            yield say
        finally:
            done.set()


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
            if name == "seed" and not 0 <= number <= _MOST_SEED:
                raise ValueError(f"seed must lie in 0..{_MOST_SEED}, got {number}")
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
    parser.add_argument("--elastic", action="store_true")
    parser.add_argument("--plan")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--watch", type=int)
    parser.add_argument("--profile", type=int)
    parser.add_argument("--record", action="store_true")
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
