"""Kills runs at random moments for as long as is wanted, and counts what came out the same.

    python -m tests.faults --minutes 20 [--seed 0] [--only lenet sweep]

Each trial takes an experiment, strikes it one to three times (SIGKILL, SIGTERM, Ctrl-C twice, a
pause, and for some a start on another number of devices or processes), lets it end, and compares it
with a run that was left alone: closing numbers and rows to the bit, TensorBoard's scalars, figures.
Where the number of devices changed, sums are taken in another order, and numbers agree to rounding.
"""

import argparse
import collections
import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

from jaxdl import cli

ROOT = pathlib.Path(__file__).parents[1]
# Dropout, batch norm, a moving average and early stopping; LeNet; a language model with carried
# state; detection; word vectors; stacked members.
SUBJECTS = ("killable", "lenet", "word_lm", "ssd", "word_vectors", "sweep")
DEVICES = "devices"  # `killable` on 8, 4, 2, 1 devices and back
PROCESSES = "processes"  # two processes, of which one is struck
STRIKES = ("SIGKILL",) * 6 + ("SIGTERM", "SIGINT twice", "SIGSTOP")
# How a run may end that was struck. SIGTERM is granted at the end of a step, and before the first
# one it kills; a run that was paused goes on.
CODES = {"SIGKILL": (-9,), "SIGTERM": (143, -15), "SIGINT twice": (130,), "SIGSTOP": (0,)}
UNMEASURED = ("time", "memory")


@dataclasses.dataclass
class Count:
    """What became of the trials of one subject."""

    trials: int = 0
    strikes: int = 0  # those that came in time
    in_save: int = 0  # while a checkpoint was being written
    resumed: int = 0  # starts that went on from a checkpoint
    equal: int = 0  # trials that ended as the run that was left alone
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)


def work(subject: str, out: pathlib.Path, log: pathlib.Path, devices: int) -> None:
    """What the command does, in a process of its own."""
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # A script that was started by `&` ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    if subject in ("killable", DEVICES):
        from tests.train import killable

        killable.main(out, 0.02, epochs=40)
        return
    module = importlib.import_module(f"experiments.{subject}")
    cli.run(module.main, module.Config, ["--smoke", "--out", str(out)])


class Command:
    """One start of a subject: a child of the fork server, or several processes of their own."""

    def __init__(self, context, subject: str, out: pathlib.Path, log: pathlib.Path, devices: int):
        if subject == PROCESSES:
            self._all = _start_processes(out, log)
        else:
            self._all = [context.Process(target=work, args=(subject, out, log, devices))]
            self._all[0].start()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self._all[-1].pid, number)

    def code(self) -> int | None:
        codes = [p.exitcode if hasattr(p, "exitcode") else p.poll() for p in self._all]
        return None if None in codes else next((c for c in codes if c), 0)

    def wait(self, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        while (code := self.code()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"no end after {seconds:.0f} s")
            time.sleep(0.02)
        return code

    def kill(self) -> None:
        for process in self._all:
            process.kill()


def _start_processes(out: pathlib.Path, log: pathlib.Path) -> list[subprocess.Popen]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "tests.parallel.worker", "--out", str(out), "--pause", "0.3"]
    command += ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process-id"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    with log.open("a") as file:
        return [
            subprocess.Popen(
                [*command, str(i)], cwd=ROOT, env=environment, stdout=file, stderr=file
            )
            for i in range(2)
        ]


def is_saving(out: pathlib.Path) -> bool:
    """Whether a checkpoint is being written: it has a suffix until it is complete."""
    return any("tmp" in path.name for path in out.glob("checkpoints/**/*tmp*"))


def strike(command: Command, kind: str, out: pathlib.Path, pause: float) -> bool | None:
    """Strikes once; returns whether it hit in mid-save, None if the run had ended."""
    if kind == "SIGKILL":
        command.signal(signal.SIGSTOP)  # so that what is looked at is what is killed
        saving = is_saving(out)
        command.signal(signal.SIGKILL)
        return saving
    saving = is_saving(out)
    if kind == "SIGSTOP":
        command.signal(signal.SIGSTOP)
        time.sleep(pause)
        if command.code() is not None:
            return None
        command.signal(signal.SIGCONT)
    elif kind == "SIGTERM":
        command.signal(signal.SIGTERM)
    else:
        command.signal(signal.SIGINT)
        time.sleep(pause / 4)
        command.signal(signal.SIGINT)
    return saving


def is_measured(name: str) -> bool:
    return not set(UNMEASURED) & set(name.split("/"))


def record(out: pathlib.Path) -> dict[str, object]:
    """What a finished run holds, without times and memory."""
    result = json.loads((out / "result.json").read_text()) if (out / "result.json").exists() else {}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, object] = {
        "result": {n: v for n, v in result.items() if is_measured(n)},
        "rows": [{n: v for n, v in row.items() if is_measured(n)} for row in rows],
        "events": scalars(out),
    }
    if (out / "final.npz").exists():
        arrays = np.load(out / "final.npz")
        found["arrays"] = {name: arrays[name].tolist() for name in arrays.files}
    return found


def scalars(out: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
    """The curves as TensorBoard shows them: what a restart took back is hidden."""
    from tensorboard.backend.event_processing import event_accumulator

    reader = event_accumulator.EventAccumulator(str(out), size_guidance={"scalars": 0})
    reader.Reload()
    names = [name for name in reader.Tags()["scalars"] if is_measured(name)]
    return {n: sorted({(e.step, e.value) for e in reader.Scalars(n)}) for n in names}


def figures(out: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def difference(got: object, want: object, tolerance: float, where: str = "") -> str | None:
    """The first place where two records differ."""
    if isinstance(want, dict) and isinstance(got, dict):
        if got.keys() != want.keys():
            return f"{where}: {sorted(got.keys() ^ want.keys())[:3]} only in one"
        found = (difference(got[k], want[k], tolerance, f"{where}/{k}") for k in want)
        return next((text for text in found if text), None)
    if isinstance(want, list | tuple) and isinstance(got, list | tuple):
        if len(got) != len(want):
            return f"{where}: {len(got)} there, {len(want)} in the run left alone"
        found = (
            difference(g, w, tolerance, f"{where}/{i}")
            for i, (g, w) in enumerate(zip(got, want, strict=True))
        )
        return next((text for text in found if text), None)
    if got == want or (got != got and want != want):
        return None
    if tolerance and isinstance(want, float) and abs(got - want) <= tolerance * max(1, abs(want)):
        return None
    return f"{where}: {got!r}, {want!r} in the run left alone"


class Bench:
    """Runs left alone, and trials against them."""

    def __init__(self, folder: pathlib.Path, seed: int):
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.counts: dict[str, Count] = collections.defaultdict(Count)
        self.context = multiprocessing.get_context("forkserver")
        names = [f"experiments.{name}" for name in SUBJECTS[1:]]
        self.context.set_forkserver_preload(
            [*names, "tests.train.killable", "orbax.checkpoint", "tensorboardX"]
        )
        self._alone: dict[str, tuple[float, pathlib.Path]] = {}

    def alone(self, subject: str) -> tuple[float, pathlib.Path]:
        """Seconds and folder of the run that is left alone; it compiles for those after it."""
        if subject not in self._alone:
            out = self.folder / f"{subject}-alone"
            started = time.monotonic()
            code = Command(self.context, subject, out, out.with_suffix(".log"), 1).wait(400)
            if code:
                raise RuntimeError(f"{subject} ends with {code}: see {out.with_suffix('.log')}")
            self._alone[subject] = (time.monotonic() - started, out)
        return self._alone[subject]

    def trial(self, subject: str, number: int) -> str:
        """One run that is struck and given again until it ends; a line about it."""
        seconds, alone = self.alone(subject)
        count = self.counts[subject]
        out = self.folder / f"{subject}-{number}"
        log = out.with_suffix(".log")
        told, code, wrong = [], 1, None
        strikes = int(self.rng.integers(1, 4))
        devices = [8, 4, 2, 1, 2, 4, 8] if subject == DEVICES else [1]
        for attempt in range(strikes):
            command = Command(self.context, subject, out, log, devices[attempt % len(devices)])
            kind = str(self.rng.choice(STRIKES)) if subject in SUBJECTS else "SIGKILL"
            deadline = time.monotonic() + self.rng.uniform(0.1, 0.8) * seconds
            while command.code() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            saving = strike(command, kind, out, pause=2.0)
            code = command.wait(120)
            if saving is None or (code == 0 and kind != "SIGSTOP"):  # done before the blow fell
                break
            count.strikes += 1
            count.in_save += saving
            count.kinds[kind] += 1
            told.append(f"{kind}{' in a save' if saving else ''} ({code})")
            if subject != PROCESSES and code not in CODES[kind]:
                wrong = wrong or f"exit code {code} after {kind}"
            if code == 0:
                break
        if code:
            code = Command(self.context, subject, out, log, devices[-1]).wait(400)
        count.trials += 1
        text = log.read_text(errors="replace")
        count.resumed += text.count("continuing from")
        wrong = wrong or (f"exit code {code}" if code else None)
        if "Traceback" in text and subject != PROCESSES:
            wrong = wrong or "a traceback in the log"
        changed = len(set(devices)) > 1 or subject == PROCESSES
        wrong = wrong or difference(record(out), record(alone), 1e-3 if changed else 0.0)
        if not wrong and not changed:
            drawn, want = figures(out), figures(alone)
            differing = [name for name in want if drawn.get(name) != want[name]]
            if differing and subject not in ("sweep",):  # its figures show seconds
                wrong = f"figures {differing} differ"
        if wrong:
            count.failures.append(f"{out}: {wrong} after {', '.join(told)}")
        else:
            count.equal += 1
            shutil.rmtree(out)
            log.unlink()
        return f"{subject}: {', '.join(told) or 'was too quick'}: {wrong or 'the same'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[*SUBJECTS, DEVICES, PROCESSES])
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    folder = pathlib.Path(tempfile.mkdtemp(prefix="jaxdl-faults-"))
    # Before the fork server starts, which JAX is imported in.
    os.environ.update(JAX_PLATFORMS="cpu", JAX_COMPILATION_CACHE_DIR=str(folder / "programs"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    bench = Bench(folder, options.seed)
    number = 0
    while time.monotonic() < deadline:
        subject = options.only[number % len(options.only)]
        try:
            print(f"{number:4d} {bench.trial(subject, number)}", flush=True)
        except (RuntimeError, TimeoutError) as error:
            bench.counts[subject].failures.append(str(error))
            print(f"{number:4d} {subject}: {error}", flush=True)
        number += 1
    for subject, count in bench.counts.items():
        kinds = ", ".join(f"{n} {kind}" for kind, n in count.kinds.items())
        print(
            f"{subject}: {count.trials} runs struck {count.strikes} times ({kinds}), "
            f"{count.in_save} of them in a save; {count.resumed} times resumed; "
            f"{count.equal} of {count.trials} ended the same"
        )
        for failure in count.failures:
            print(f"    {failure}")
    failed = any(count.failures for count in bench.counts.values())
    if not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
