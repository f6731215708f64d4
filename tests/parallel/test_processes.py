"""Several processes: one training, a checkpoint for any number of them, and one end."""

import concurrent.futures
import os
import signal
import socket
import sys
import time

import numpy as np
import pytest

from jaxdl import parallel, runs
from jaxdl.parallel import _meeting
from tests.parallel.launching import finish, free_port, start, untimed


def same(folder, other):
    got, want = np.load(folder / "final.npz"), np.load(other / "final.npz")
    for name in want.files:
        np.testing.assert_allclose(got[name], want[name], atol=1e-5, err_msg=name)
    for row, wanted in zip(untimed(folder), untimed(other), strict=True):
        assert row == pytest.approx(wanted, abs=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    codes, outputs = finish(start(folder, 1))
    assert codes == [0], outputs
    return folder


def test_two_processes_train_as_one_and_one_goes_on_from_two(alone, tmp_path):
    """The last epochs are run by one process, from the checkpoint of two."""
    codes, outputs = finish(start(tmp_path / "run", 2))
    assert codes == [0, 0], outputs
    same(tmp_path / "run", alone)
    assert outputs[0].count("epoch") == 4  # the first process tells, the other one is silent
    assert "epoch" not in outputs[1]
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"epochs": 4', '"epochs": 6'))
    codes, outputs = finish(start(tmp_path / "run", 1, "--epochs", "6"))
    assert codes == [0], outputs
    assert "continuing from step 20" in outputs[0]
    codes, outputs = finish(start(tmp_path / "whole", 1, "--epochs", "6"))
    same(tmp_path / "run", tmp_path / "whole")


def killed(folder, processes, alone):
    workers = start(folder, processes, "--pause", "0.5")
    while len(runs.read_metrics(folder)) < 2:
        assert all(worker.poll() is None for worker in workers), finish(workers)
        time.sleep(0.01)
    workers[-1].kill()
    struck = time.monotonic()
    codes, outputs = finish(workers[:-1], seconds=60)
    seconds = time.monotonic() - struck
    workers[-1].communicate()
    assert seconds < 30, seconds
    assert all(code != 0 for code in codes), (codes, outputs)
    assert any(f"to continue {folder}" in output for output in outputs), outputs
    codes, outputs = finish(start(folder, processes))
    assert codes == [0] * processes, outputs
    assert "continuing from step" in outputs[0]
    same(folder, alone)


def test_one_of_two_is_killed_the_other_ends_and_the_relaunch_continues(alone, tmp_path):
    killed(tmp_path / "run", 2, alone)


@pytest.mark.slow
def test_one_of_four_is_killed_the_others_end_and_the_relaunch_continues(alone, tmp_path):
    killed(tmp_path / "run", 4, alone)


def test_processes_that_disagree_say_so(tmp_path):
    codes, outputs = finish(start(tmp_path / "run", 2, different=("--learning-rate", "0.3")))
    assert codes == [2, 2], outputs
    for output in outputs:
        assert "disagree on the configuration: learning_rate is 0.2 in process 0, 0.3 in" in output


def meet(told):
    """What processes hear that are told these numbers: how many there are, and the own one."""
    address = f"127.0.0.1:{free_port()}"

    def hear(processes, process_id):
        try:
            _meeting.meet(address, processes, process_id)
            return "go"
        except ValueError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        heard = [pool.submit(hear, *numbers) for numbers in told]
        heard[0].result()
        with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):  # as JAX would
            return [found.result() for found in heard]


def test_processes_that_were_told_the_same_meet():
    assert meet([(3, 0), (3, 2), (3, 1)]) == ["go"] * 3
    assert meet([(1, 0)]) == ["go"]


@pytest.mark.parametrize("first, second", [(2, 3), (3, 2)])
def test_processes_told_different_numbers_say_so(first, second):
    sentence = f"process 1 was started as one of {second} processes, process 0 as one of {first}"
    assert meet([(first, 0), (second, 1)]) == [sentence] * 2


def test_a_number_that_is_given_twice_is_named():
    told = meet([(3, 0), (3, 1), (3, 1)])
    assert told == ["two processes were started with process_id 1"] * 3


def test_those_who_do_not_come_are_named(monkeypatch):
    monkeypatch.setattr(_meeting, "JOIN_SECONDS", 1)
    told = meet([(5, 0), (5, 2)])
    assert told == ["of 5 processes, those numbered [1, 3, 4] did not come within 1 s"] * 2


def test_strangers_at_the_port_are_let_pass():
    port = free_port()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(_meeting.meet, f"127.0.0.1:{port}", 2, 0)
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"", b"PRI * HTTP/2.0\r\n", b"\xff\xfe\n"):
            with _meeting._reach(("127.0.0.1", port)) as stranger:
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
        second = pool.submit(_meeting.meet, f"127.0.0.1:{port}", 2, 1)
        assert first.result() is None
        with socket.create_server(("127.0.0.1", port)):
            assert second.result() is None


def regroup(told, processes, seconds=0.5):
    """The new numbers of those that are left, or why they are not needed."""
    address = f"127.0.0.1:{free_port()}"

    def hear(process_id):
        try:
            return _meeting.regroup(address, processes, process_id, seconds)
        except ValueError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [*pool.map(hear, told)]


def test_those_that_are_left_get_new_numbers():
    assert regroup([0, 1, 2, 3], 4, seconds=20) == [(4, 0), (4, 1), (4, 2), (4, 3)]
    assert regroup([0, 7, 5, 3], 8) == [(4, 0), (4, 3), (4, 2), (4, 1)]
    assert regroup([0], 2) == [(1, 0)]


def test_one_too_many_to_split_a_batch_is_let_go():
    spare = "of 4 processes 3 are left, and 2 go on"
    assert regroup([0, 2, 3], 4) == [(2, 0), (2, 1), spare]


def test_who_finds_a_run_that_is_ending_asks_again():
    port = free_port()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with socket.create_server(("127.0.0.1", port)) as ending:
            second = pool.submit(_meeting.regroup, f"127.0.0.1:{port}", 2, 1, 20)
            ending.accept()[0].close()
        assert _meeting.regroup(f"127.0.0.1:{port}", 2, 0, 20) == (2, 0)
        assert second.result() == (2, 1)


# Fails while there are two, as if a peer had died.
FAILING = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit(int(sys.argv[2]) > 1)"


def test_a_command_is_given_again_until_it_ends(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxdl.parallel._elastic.REGROUP_SECONDS", 0.2)
    path = tmp_path / "told"

    def command(launch):
        return [sys.executable, "-c", FAILING, str(path), str(launch.processes)]

    launch = parallel.Launch(f"127.0.0.1:{free_port()}", 2, 0)
    assert parallel.supervise(command, launch) == 0
    assert path.read_text() == "21"
    assert capsys.readouterr().err == "going on as process 0 of 1\n"


@pytest.mark.parametrize(
    "ends, code, times",
    [("sys.exit(2)", 2, 1), ("sys.exit(143)", 143, 1), ("os.kill(os.getpid(), 9)", 137, 3)],
)
def test_what_is_no_peers_fault_ends(ends, code, times, tmp_path, monkeypatch):
    monkeypatch.setattr(_meeting, "regroup", lambda address, processes, process_id, _: (2, 0))
    path = tmp_path / "told"
    program = f"import os, sys; open(sys.argv[1], 'a').write('x'); {ends}"
    launch = parallel.Launch("h:1", 2, 0)
    assert parallel.supervise(lambda _: [sys.executable, "-c", program, str(path)], launch) == code
    assert path.read_text() == "x" * times


@pytest.mark.slow
def test_an_elastic_run_goes_on_with_those_that_are_left(alone, tmp_path):
    """One of two is killed with all that it started; the other one ends as if alone."""
    folder = tmp_path / "run"
    workers = start(folder, 2, "--pause", "0.5", "--elastic", start_new_session=True)
    while len(runs.read_metrics(folder)) < 2:
        assert all(worker.poll() is None for worker in workers), finish(workers)
        time.sleep(0.01)
    os.killpg(workers[1].pid, signal.SIGKILL)
    codes, outputs = finish(workers, seconds=400)
    assert codes == [0, -signal.SIGKILL], outputs
    assert "going on as process 0 of 1" in outputs[0]
    assert "continuing from step" in outputs[0]
    same(folder, alone)


@pytest.mark.parametrize(
    "launch, message",
    [
        ({"processes": 2}, "need a coordinator"),
        ({"coordinator": "h:1", "processes": 2}, "needs processes and process_id as well"),
        ({"coordinator": "h:1", "processes": 2, "process_id": 2}, r"must lie in 0..1, got 2"),
        ({"coordinator": "h:1", "processes": -2, "process_id": 0}, "at least 1, got -2"),
        ({"coordinator": "h", "processes": 2, "process_id": 1}, "HOST:PORT with .*, got 'h'"),
        ({"coordinator": "h:99999", "processes": 2, "process_id": 0}, "got 'h:99999'"),
    ],
)
def test_half_a_launch_is_named(launch, message):
    with pytest.raises(ValueError, match=message):
        parallel.initialize(parallel.Launch(**launch))


def test_a_coordinator_that_is_stale_or_absent_is_named(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        launch = parallel.Launch(f"127.0.0.1:{taken.getsockname()[1]}", 2, 0)
        with pytest.raises(ValueError, match=r"port \d+ is taken .*an earlier run may be alive"):
            parallel.initialize(launch)
    monkeypatch.setattr("jaxdl.parallel._meeting.JOIN_SECONDS", 0.5)
    with pytest.raises(ValueError, match="no answer from the coordinator .*is process 0"):
        parallel.initialize(parallel.Launch(f"127.0.0.1:{free_port()}", 2, 1))
