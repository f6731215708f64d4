"""Sweeps, halving and populations over devices and processes: the numbers of one device."""

import os
import time

import numpy as np
import pytest

from tests.parallel.launching import finish, start

SECONDS = 300  # on a loaded machine
SEARCHES = ["sweep", "rounds", "halving", "population"]


def searched(folder, search, processes, *options, devices=1):
    return start(
        folder, processes, "--search", search, *options, worker="sweep_worker", devices=devices
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Folders of runs on one device, by search."""
    folders = {}

    def of(search):
        if search not in folders:
            folders[search] = tmp_path_factory.mktemp(search) / "run"
            codes, outputs = finish(searched(folders[search], search, 1), SECONDS)
            assert codes == [0], outputs
        return folders[search]

    return of


def same(folder, other):
    """All states, numbers and settings, bit for bit."""
    got, want = np.load(folder / "final.npz"), np.load(other / "final.npz")
    assert got.files == want.files
    for name in want.files:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def saved(folder):
    """Whether a part of it was; folders get other names while they are looked through."""
    return any("commit_success.txt" in names for _, _, names in os.walk(folder / "checkpoints"))


def slow_but(quick):
    """The others take minutes together."""
    return [s if s == quick else pytest.param(s, marks=pytest.mark.slow) for s in SEARCHES]


@pytest.mark.optimized  # bit for bit where a device has one member and where it has five
@pytest.mark.parametrize("search", slow_but("sweep"))
def test_two_processes_and_eight_devices_give_the_numbers_of_one(search, alone, tmp_path):
    codes, outputs = finish(searched(tmp_path / "two", search, 2), SECONDS)
    assert codes == [0, 0], outputs
    same(tmp_path / "two", alone(search))
    codes, outputs = finish(searched(tmp_path / "eight", search, 1, devices=8), SECONDS)
    assert codes == [0], outputs
    same(tmp_path / "eight", alone(search))


@pytest.mark.optimized
@pytest.mark.parametrize("search", slow_but("population"))
def test_members_of_a_killed_process_are_taken_up_by_the_other(search, alone, tmp_path):
    folder = tmp_path / "run"
    workers = searched(folder, search, 2, "--pause", "3")
    while not saved(folder):
        assert all(worker.poll() is None for worker in workers), finish(workers, SECONDS)
        time.sleep(0.01)
    workers[-1].kill()
    codes, outputs = finish(workers, SECONDS)
    assert 0 not in codes, outputs
    codes, outputs = finish(searched(folder, search, 1), SECONDS)
    assert codes == [0], outputs
    assert "continuing from" in outputs[0]
    same(folder, alone(search))
