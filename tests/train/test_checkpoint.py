"""Checkpoints that are damaged, cut short, or cannot be written."""

import json
import logging
import os
import pathlib
import random
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import train

ROOT = pathlib.Path(__file__).parents[2]
# Two files tell nothing about what is restored: the first is never read, and of the second the
# moment of the commit is left out, for it is written after the checksums.
FREE = ("commit_success.txt", "_CHECKPOINT_METADATA")


def arrays(step):
    return {
        "w": jnp.arange(30.0).reshape(5, 6) + step,
        "half": jnp.full(3, step, jnp.bfloat16),
        "key": jax.random.key(step),
        "none": None,
    }


def record(step):
    return {"history": [{"epoch": float(k), "loss": 1 / k} for k in range(1, step + 1)]}


def plain(tree):
    tree = {**tree, "key": jax.random.key_data(tree["key"])}
    return [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    with train.Checkpoints(folder, keep=3, best="loss") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, arrays(step), record(step))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def restored(folder):
    """The step, the arrays and the record, as they come out."""
    with train.Checkpoints(folder, keep=3, best="loss") as checkpoints:
        tree, kept = checkpoints.restore(arrays(0))
    step = int(tree["w"][0, 0])
    assert plain(tree) == plain(arrays(step))
    assert kept == record(step)
    return step


def files(folder):
    return sorted(path for path in (folder / "3").rglob("*") if path.is_file())


def test_a_checkpoint_holds_a_checksum_of_each_of_its_files(folder):
    listed = (folder / "3" / "checksums").read_text().splitlines()
    names = {str(path.relative_to(folder / "3")) for path in files(folder)}
    left_out = {"checksums", "commit_success.txt"}
    assert {line.split("  ")[1] for line in listed} == names - left_out
    assert restored(folder) == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_damage_in_any_file_is_noticed_and_the_checkpoint_before_it_used(folder, damage, caplog):
    """One bit of each file, drawn at random, a file cut in two, an empty file, a missing one."""
    rng = random.Random(damage)
    whole = folder.parent / "whole"
    folder.rename(whole)
    for path in files(whole):
        name = path.relative_to(whole)
        if name.name in FREE and len(name.parts) == 2:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        content = bytearray(path.read_bytes())
        if damage == "flip":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(content[: {"cut": len(content) // 2, "empty": 0}.get(damage)])
        if damage == "missing":
            (folder / name).unlink()
        caplog.clear()
        assert restored(folder) == 2, name
        (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("jaxdl")]
        assert "using checkpoint 2 instead" in line
        assert str(pathlib.Path(*name.parts[1:])) in line or name.name == "checksums"
        assert len(line) < 400
        assert "\n" not in line
        assert (folder / "damaged-3").is_dir()  # kept, to be looked into


@pytest.mark.parametrize("name", FREE)
def test_a_flip_in_what_the_commit_writes_changes_nothing_that_is_restored(folder, name):
    whole = folder.parent / "whole"
    folder.rename(whole)
    size = (whole / "3" / name).stat().st_size
    steps = []
    for place in range(0, size, 13):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        content = bytearray((folder / "3" / name).read_bytes())
        content[place] ^= 1 << (place % 8)
        (folder / "3" / name).write_bytes(content)
        steps.append(restored(folder))
    assert set(steps) <= {2, 3}
    assert (2 in steps) == (name == "_CHECKPOINT_METADATA")


@pytest.mark.slow
def test_three_hundred_flips(folder):
    rng = random.Random(0)
    whole = folder.parent / "whole"
    folder.rename(whole)
    noticed = 0
    for _ in range(300):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        path = folder / rng.choice(files(whole)).relative_to(whole)
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        noticed += restored(folder) == 2
    assert noticed > 250


def test_training_goes_on_after_the_damaged_step(folder):
    with train.Checkpoints(folder, keep=3, best="loss") as checkpoints:
        (folder / "3" / "record" / "metadata").write_text("{}")
        checkpoints.restore(arrays(0))
        assert checkpoints.steps() == [1, 2]
        checkpoints.save(3, arrays(3), record(3))
    assert restored(folder) == 3
    (folder / "3" / "checksums").unlink()
    with train.Checkpoints(folder, keep=3, best="loss") as checkpoints:
        checkpoints.restore(arrays(0))
        assert {"damaged-3", "damaged-3.1"} <= {path.name for path in folder.iterdir()}


def test_none_whole_is_one_sentence(folder):
    for step in (1, 2, 3):
        (folder / str(step) / "arrays" / "manifest.ocdbt").write_bytes(b"\0" * 70_000)
    with train.Checkpoints(folder, keep=3, best="loss") as checkpoints:
        with pytest.raises(train.CheckpointError, match="no checkpoint in .* is whole; of 3") as e:
            checkpoints.restore(arrays(0))
        assert len(str(e.value)) < 400
        with pytest.raises(train.CheckpointError, match="2 is damaged: arrays/manifest.ocdbt"):
            checkpoints.restore(arrays(0), step=2)
        assert checkpoints.steps() == [1, 2, 3]  # nothing was moved


def test_a_file_where_the_folder_belongs_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(train.CheckpointError, match="is a file where a folder of checkpoints"):
        train.Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(train.CheckpointError, match="cannot open the checkpoints .*Not a dir"):
        train.Checkpoints(tmp_path / "checkpoints" / "below")


FAILING = """
import pathlib, resource, shutil, signal, sys
import jax.numpy as jnp
from jaxdl import cli, train
import dataclasses

@dataclasses.dataclass(frozen=True)
class Config:
    out: pathlib.Path
    kind: str

def main(config):
    with train.Checkpoints(config.out) as checkpoints:
        checkpoints.save(1, {"w": jnp.ones(3)}, {})
        checkpoints.wait()
        if config.kind == "vanished":
            shutil.rmtree(config.out)
            config.out.write_text("")
        else:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        # bits that do not compress
        checkpoints.save(2, {"w": jnp.sin(jnp.arange(30_000.0) ** 2)}, {})
        if config.kind == "full at the end":
            return
        checkpoints.save(3, {"w": jnp.ones(3)}, {})

cli.run(main, Config)
"""


@pytest.mark.parametrize("kind", ["vanished", "full", "full at the end"])
def test_a_save_that_fails_ends_the_process_with_one_sentence(tmp_path, kind):
    """Neither a hang nor a page of traceback."""
    command = [sys.executable, "-c", FAILING, "--out", str(tmp_path / "c"), "--kind", kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: cannot save the checkpoint {tmp_path / 'c' / '2'}: ")
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 500
    if kind != "vanished":  # what was complete is still there
        with train.Checkpoints(tmp_path / "c") as checkpoints:
            assert checkpoints.steps() == [1]
            checkpoints.restore({"w": jnp.zeros(3)})


def test_a_checkpoint_of_an_older_form_is_not_taken(folder, caplog):
    (folder / "3" / "checksums").unlink()
    with caplog.at_level(logging.WARNING):
        assert restored(folder) == 2
    assert "checkpoint 3: it has no checksums; using checkpoint 2 instead" in caplog.text


def test_a_save_that_was_cut_off_is_told_in_one_line(folder, caplog):
    (folder / "3" / "_CHECKPOINT_METADATA").unlink()
    assert restored(folder) == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("checkpoint 3: _CHECKPOINT_METADATA is missing")


def test_the_record_is_plain_json(folder):
    assert json.loads((folder / "3" / "record" / "metadata").read_text())["history"]
