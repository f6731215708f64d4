"""Copies an experiment to start from: `python -m jaxdl.new lenet DIR`.

The copy runs by itself as `python DIR/lenet.py`. `python -m jaxdl.new all DIR` copies the whole
folder, to be run as `python -m experiments.NAME` from DIR. Nothing that exists is overwritten.
"""

import argparse
import difflib
import pathlib
import re
import shutil
import sys

__all__ = ["copy_experiment", "main"]

_PACKAGE = pathlib.Path(__file__).parent
_SIBLING = re.compile(r"^from experiments import (\w+)$", re.MULTILINE)


def _source() -> pathlib.Path:
    """Where the experiments lie: inside an installed package, or beside it in a checkout."""
    inside = _PACKAGE / "_experiments"
    return inside if inside.is_dir() else _PACKAGE.parent / "experiments"


def copy_experiment(name: str, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Copies an experiment, with the file that it shares with others, into a folder.

    >>> [path.name for path in copy_experiment("glove", "mine")]
    ['glove.py', '_word_vectors.py']

    Args:
        name: as in `python -m experiments.NAME`, or "all" for the whole folder.
        folder: where to; made if it is not there.
    Returns: the files written, the experiment's own first.
    Raises: ValueError for an unknown name (the nearest ones are named) and for an experiment that
        cannot stand alone. FileExistsError if a file of that name is there already.
    """
    source, folder = _source(), pathlib.Path(folder)
    if name == "all":
        target = folder / "experiments"
        if target.exists():
            raise FileExistsError(f"{target} exists; name another folder")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignored)
        return sorted(target.rglob("*.py"))
    names = sorted(path.stem for path in source.glob("[!_]*.py"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
        raise ValueError(f"no experiment is called {name!r}; there are {', '.join(near)}")
    files, texts = [name], {}
    for file in files:  # grows with what is imported
        text = (source / f"{file}.py").read_text(encoding="utf-8")
        for other in _SIBLING.findall(text):
            if not (source / f"{other}.py").exists():
                raise ValueError(
                    f"{name} needs the folder experiments/{other}; copy them all: "
                    f"python -m jaxdl.new all {folder}"
                )
            files += [other] if other not in files else []
        text = _SIBLING.sub(r"import \1", text)
        texts[folder / f"{file}.py"] = text.replace(
            f"python -m experiments.{file}", f"python {file}.py"
        )
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} exists; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def main(args: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jaxdl.new", description=__doc__)
    parser.add_argument("name", help="of an experiment, or all")
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR", help="where the copy goes")
    options = parser.parse_args(args)
    try:
        written = copy_experiment(options.name, options.folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.name == "all":
        print(f"cd {options.folder} && python -m experiments")
    else:
        print(f"python {written[0]} --smoke")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
