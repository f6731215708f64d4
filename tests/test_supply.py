"""What comes along with an install, what an import does, and what a wheel holds."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import supply

ROOT = pathlib.Path(__file__).parents[1]
LOCK = ROOT / ".github" / "lock-3.11.txt"
# Compared with in tests alone: nothing of jaxdl links to it or ships it.
ONLY_IN_TESTS = {"gensim": "LGPL-2.1-only"}


def test_what_an_install_brings_may_be_used_by_anybody():
    found = {name: supply.license_of(there) for name, there in supply.closure().items()}
    assert {"jax", "jaxlib", "numpy", "flax", "orbax-checkpoint"} <= found.keys()
    assert {n: text for n, text in found.items() if text not in supply.PERMISSIVE} == {}


def test_what_the_tests_compare_with_is_known():
    found = {name: supply.license_of(there) for name, there in supply.closure(["test"]).items()}
    others = {name: text for name, text in found.items() if text not in supply.PERMISSIVE}
    assert others.items() <= ONLY_IN_TESTS.items()


@pytest.mark.parametrize(
    "text, name",
    [
        ("GNU Lesser General Public License v3", "GNU Lesser General Public License v3"),
        ("AGPL-3.0-or-later", "AGPL-3.0-or-later"),
        ("BSD-3-Clause AND MIT", "BSD"),
        ("Proprietary", "Proprietary"),
    ],
)
def test_licenses_are_told_apart(text, name, tmp_path):
    there = pathlib.Path(tmp_path / "a-1.dist-info")
    there.mkdir()
    (there / "METADATA").write_text(f"Name: a\nVersion: 1\nLicense-Expression: {text}\n\n")
    assert supply.license_of(importlib.metadata.Distribution.at(there)) == name


def test_the_lock_holds_what_is_asked_for():
    pins = dict(line.split("==") for line in LOCK.read_text().splitlines() if line[0] != "#")
    for wanted in supply.requirements(["test", "text", "proposals", "dev"]):
        assert Requirement(str(wanted)).specifier.contains(pins[canonicalize_name(wanted.name)])


IMPORTS = """
import json, os, pathlib, sys, threading
import numpy, jax  # what jax itself does is its own
done = []

def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        flags = args[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not args[0].endswith("/dev/null"):
            done.append(f"writes {args[0]}")
    elif event.startswith(("socket.", "urllib.")):
        done.append(f"{event} {args[-1]}")
    elif event in ("subprocess.Popen", "os.system", "os.fork", "os.mkdir", "os.remove", "os.kill"):
        done.append(f"{event} {args[0]}")

before = dict(os.environ)
sys.dont_write_bytecode = True
sys.addaudithook(watch)
import importlib
import jaxdl
for name in jaxdl.__all__:
    importlib.import_module(f"jaxdl.{name}")
from jax._src import xla_bridge
print(json.dumps({
    "done": done,
    "backends": list(xla_bridge._backends),
    "threads": [t.name for t in threading.enumerate()],
    "environment": [k for k in {**before, **os.environ} if before.get(k) != os.environ.get(k)],
    "settings": [jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir],
}))
"""


def test_importing_every_room_does_nothing(tmp_path):
    """No device is started, no file written, no port opened, no process or thread begun."""
    quiet = {"MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **quiet}
    environment.pop("JAXDL_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "done": [],
        "backends": [],
        "threads": ["MainThread"],
        "environment": [],
        "settings": [False, None],
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_wheel_and_sdist_come_out_the_same_to_the_byte(tmp_path):
    """In two folders and at two times; they hold the library, and nothing that is not committed."""
    pytest.importorskip("build")
    sums = []
    for name in ("one", "two"):
        copy = tmp_path / name
        files = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
        ).stdout
        for file in filter(None, files.split("\0")):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_bytes((ROOT / file).read_bytes())
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(copy / "dist"), str(copy)],
            check=True, env=environment, capture_output=True,
        )  # fmt: skip
        found = sorted((copy / "dist").iterdir())
        sums.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in found})
    assert sums[0] == sums[1]
    with zipfile.ZipFile(next((tmp_path / "one" / "dist").glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    held = {name.replace("jaxdl/_experiments/", "experiments/") for name in held}
    assert held == {f for f in files.split("\0") if f.startswith(("jaxdl/", "experiments/"))}
    assert [re.sub(r".*\.(whl|tar\.gz)$", r"\1", name) for name in sums[0]] == ["whl", "tar.gz"]
