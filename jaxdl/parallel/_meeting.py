"""Processes meet at the coordinator's port before JAX does, and compare what they were given.

JAX waits without a word for a process that never comes, aborts one that comes twice, and trains on
where two were given different numbers of processes. Here the first process listens at the address
that JAX will use, the others say who they are, and all of them hear the same verdict.
"""

import contextlib
import socket
import time

JOIN_SECONDS = 60  # for all processes to be there
_GREETING, _AGAIN = "jaxdl", "jaxdl-again"
_GO = "go"


def meet(address: str, processes: int, process_id: int) -> None:
    """Returns in every process once all of them are there; then the port is free for JAX.

    Raises: ValueError if the address is not HOST:PORT, the port is taken, somebody does not come
        within `JOIN_SECONDS`, comes twice, or was given another number of processes.
    """
    place = _split(address)
    if process_id == 0:
        _receive(place[1], processes)
        return
    verdict = _introduce(place, f"{_GREETING} {processes} {process_id}", 2 * JOIN_SECONDS)
    if verdict != _GO:
        raise ValueError(verdict)
    _reach(place).close()  # JAX is there


def regroup(address: str, processes: int, process_id: int, seconds: float) -> tuple[int, int]:
    """How many go on, and this one's number among them, after some of `processes` were lost.

    Process 0 waits for the others for so many seconds. As many go on as divide `processes`.

    Raises: ValueError if process 0 does not answer, or this one is not needed.
    """
    place = _split(address)
    if process_id == 0:
        return _number_anew(place[1], processes, seconds), 0
    answer = _introduce(place, f"{_AGAIN} {processes} {process_id}", 2 * seconds + JOIN_SECONDS)
    if not answer.startswith(f"{_GO} "):
        raise ValueError(answer)
    count, number = answer.split()[1:]
    return int(count), int(number)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port[:9]) < 2**16:
        raise ValueError(f"coordinator must be HOST:PORT with a port up to 65535, got {address!r}")
    return host.strip("[]"), int(port)


def _number_anew(port: int, processes: int, seconds: float) -> int:
    """The first process: waits for those that are left, and gives them new numbers."""
    others: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        with _listen(port) as listener:
            deadline = time.monotonic() + seconds
            while len(others) < processes - 1 and (rest := deadline - time.monotonic()) > 0:
                listener.settimeout(rest)
                try:
                    connection = stack.enter_context(listener.accept()[0])
                except TimeoutError:
                    break
                greeting = _hear(connection, _AGAIN)
                if greeting is not None and greeting[0] == processes:
                    others[greeting[1]] = connection
        left = 1 + len(others)
        count = max(n for n in range(1, left + 1) if processes % n == 0)
        for number, (_, connection) in enumerate(sorted(others.items()), start=1):
            answer = f"{_GO} {count} {number}"
            if number >= count:
                answer = f"of {processes} processes {left} are left, and {count} go on"
            _answer(connection, answer)
    return count


def _listen(port: int) -> socket.socket:
    try:
        with contextlib.suppress(OSError):  # as where IPv6 is switched off
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        message = f"port {port} is taken ({error.strerror}): an earlier run may be alive"
        raise ValueError(message) from error


def _receive(port: int, processes: int) -> None:
    """The first process: waits for all others, and tells them whether to go on."""
    others: set[int] = set()
    listening: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        verdict = None
        with _listen(port) as listener:
            deadline = time.monotonic() + JOIN_SECONDS
            while len(others) < processes - 1 and verdict is None:
                listener.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    connection = stack.enter_context(listener.accept()[0])
                except TimeoutError:
                    missing = sorted(set(range(1, processes)) - others)
                    verdict = (
                        f"of {processes} processes, those numbered {missing[:9]} did not come "
                        f"within {JOIN_SECONDS:.0f} s"
                    )
                    break
                if (greeting := _hear(connection, _GREETING)) is None:
                    continue
                listening.append(connection)
                if (verdict := _compare(greeting, processes, others)) is None:
                    others.add(greeting[1])
        for connection in listening:
            _answer(connection, verdict or _GO)
    if verdict is not None:
        raise ValueError(verdict)


def _hear(connection: socket.socket, wanted: str) -> tuple[int, int] | None:
    """The number of processes and the own one of who has come; None for anybody else."""
    try:
        connection.settimeout(5)
        greeting, processes, process_id = _read_line(connection).split()
        return (int(processes), int(process_id)) if greeting == wanted else None
    except (OSError, ValueError):  # a scan of ports, or a left-over of an earlier run
        return None


def _compare(greeting: tuple[int, int], processes: int, others: set[int]) -> str | None:
    count, process_id = greeting
    if count != processes:
        return (
            f"process {process_id} was started as one of {count} processes, process 0 as one of "
            f"{processes}"
        )
    if process_id in others:
        return f"two processes were started with process_id {process_id}"
    return None


def _introduce(place: tuple[str, int], greeting: str, seconds: float) -> str:
    """Any other process: says who it is, and hears what process 0 answers within some seconds.

    Until it does, the coordinator of a run that is ending may be at the port.
    """
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        with _reach(place) as connection:
            try:
                connection.sendall(f"{greeting}\n".encode())
                connection.settimeout(seconds)
                answer = _read_line(connection)
            except OSError as error:
                answer = str(error)
        if answer.startswith(f"{_GREETING} "):
            return answer.removeprefix(f"{_GREETING} ")
        if time.monotonic() > deadline:
            raise ValueError(_unanswered(place, answer[:60] or "it closed the connection"))
        time.sleep(0.2)


def _answer(connection: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):  # whoever left will be missed when JAX begins
        connection.sendall(f"{_GREETING} {text}\n".encode())


def _reach(place: tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            return socket.create_connection(place, timeout=5)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ValueError(_unanswered(place, error)) from error
            time.sleep(0.2)


def _unanswered(place: tuple[str, int], why: object) -> str:
    return f"no answer from the coordinator {place[0]}:{place[1]} ({why}): is process 0 running?"


def _read_line(connection: socket.socket) -> str:
    content = b""
    while not content.endswith(b"\n") and len(content) < 1000:
        if not (part := connection.recv(1000)):
            break
        content += part
    return content.decode(errors="replace").strip()
