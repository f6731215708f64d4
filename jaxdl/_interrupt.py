"""Ctrl-C at the command line: the first one stops in order, the second one at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interrupt:
    """A handler of SIGINT: KeyboardInterrupt the first time; `again` ends the process.

    An exception in the middle of a save leaves threads that complain of what became of them, while
    what is on disk stands a kill at any moment.
    """

    def __call__(self, number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, self.again)
        raise KeyboardInterrupt

    @staticmethod
    def again(number: int, frame: Any) -> None:
        os.write(2, b"stopped at once; what was saved last is kept\n")
        os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """Has `Interrupt` answer Ctrl-C where Python's own handler would."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, Interrupt())
    try:
        yield
    except KeyboardInterrupt:
        raise  # the handler of the second one stays until the process has ended
    except SystemExit as error:
        if error.code != 128 + signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        raise
    except BaseException:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise
    signal.signal(signal.SIGINT, signal.default_int_handler)
