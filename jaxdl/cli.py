"""The command line of every experiment: typed options from a dataclass, one sentence per mistake.

if __name__ == "__main__":
    cli.run(main, Config)
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Config = TypeVar("Config")


def run(
    main: Callable[[Config], Any],
    config_type: type[Config],
    args: Sequence[str] | None = None,
) -> Any:
    """Parses `args` (`sys.argv` by default) into `config_type`, calls `main`, returns its result.

    A user's mistake (ValueError, a missing file, a foreign run folder) is printed as one sentence
    and ends the process with exit code 2; with JAXDL_TRACEBACK=1 in the environment it is raised.
    Ctrl-C ends it with 130.
    """
    config = parse(config_type, args, doc=main.__globals__.get("__doc__"))
    use_compilation_cache()
    try:
        return main(config)
    except (ValueError, FileNotFoundError, FileExistsError, PermissionError) as error:
        if os.environ.get("JAXDL_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def parse(
    config_type: type[Config], args: Sequence[str] | None = None, doc: str | None = None
) -> Config:
    """Parses options into a dataclass; `--help` shows every field with its comment and default."""
    import tyro

    return tyro.cli(
        config_type,
        args=args,
        description=doc,
    )


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, for the next start.

    JAX's own settings come first: JAX_COMPILATION_CACHE_DIR names another folder, and an empty one
    turns the cache off.
    """
    import jax

    from jaxdl.data import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
