"""TensorBoard's event files, written where the row is written.

tensorboardX's own writer hands events to a thread; on a full disk that thread dies and the process
waits for it for ever. Here a row that cannot be written is an OSError at once.
"""

import pathlib
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any


class Events:
    """One event file of a run folder; what TensorBoard has from `purge` on is hidden by it."""

    def __init__(self, folder: pathlib.Path, purge: int | None) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # TensorBoard reads files in the order of their names: the new one comes after those there,
        # even if the clock went back.
        names = (path.name.split(".") for path in folder.glob("events.out.tfevents.*"))
        newest = max((int(parts[3]) for parts in names if parts[3].isdecimal()), default=-1)
        now = max(time.time_ns(), (newest + 1) * 10**9)
        name = f"events.out.tfevents.{now // 10**9:010d}.{socket.gethostname()}.{now % 10**9:09d}"
        self._file = (folder / name).open("xb", buffering=0)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=purge, session_log=start))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a row of numbers."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        for name, value in values.items():
            scalar = summary.scalar(name, float(value))
            self._write(Event(wall_time=time.time(), step=step, summary=scalar))

    def add_histograms(self, step: int, values: Mapping[str, tuple[Any, Any]]) -> None:
        """Writes histograms, each as counts `[N]` and edges `[N + 1]`."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        for name, (counts, edges) in values.items():
            middles = (edges[1:] + edges[:-1]) / 2
            sums = [float(counts.sum()), float(counts @ middles), float(counts @ middles**2)]
            low, high = float(edges[0]), float(edges[-1])
            made = summary.histogram_raw(
                name, low, high, *sums, edges[1:].tolist(), counts.tolist()
            )
            self._write(Event(wall_time=time.time(), step=step, summary=made))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Any) -> None:
        from tensorboardX.record_writer import masked_crc32c

        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, content)]
        record = length + sums[0] + content + sums[1]
        while record:  # a disk that fills up takes a part, and refuses the rest
            record = record[self._file.write(record) :]
