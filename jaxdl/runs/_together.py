"""What several processes that share a run folder do one after the other."""

from collections.abc import Callable

import numpy as np


def in_first_process(action: Callable[[], None], what: str) -> None:
    """Does it in the first process; if it fails there, all of them raise."""
    error: Exception | None = None
    if is_first_process():
        try:
            action()
        except FileExistsError as raised:
            error = raised
        except OSError as raised:
            error = FileNotFoundError(f"{what}: {raised.strerror or raised}")
            error.__cause__ = raised
    if not is_only_process():
        from jax.experimental import multihost_utils

        if multihost_utils.broadcast_one_to_all(np.array(error is not None)) and error is None:
            error = FileExistsError(f"{what}: process 0 says why")
    if error is not None:
        raise error


def is_only_process() -> bool:
    """Whether no other process takes part in the run; jax is imported only when asked."""
    import jax

    return jax.process_count() == 1


def is_first_process() -> bool:
    """Whether this is the process that writes what all of them share."""
    import jax

    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Lets no process run ahead of what another one reads or writes."""
    if not is_only_process():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f"jaxdl.runs {what}")
