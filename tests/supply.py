"""What jaxdl brings along when it is installed: packages, versions and licenses.

    python -m tests.supply                 # a table of them
    python -m tests.supply test reference  # with those of some extras
    python -m tests.supply test text proposals dev --lock > .github/lock-3.11.txt

The lock holds the versions that are installed here: `pip install -c` of it gives the same ones.
"""

import importlib.metadata
import pathlib
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[1]
# Licenses that ask for no more than to be named with the code; MPL 2.0 asks for changes to its own
# files. Long texts are known by how they begin.
PERMISSIVE = {
    "0BSD": r"0BSD",
    "Apache-2.0": r"Apache([ -]|.* )2\.0|Apache Software License|Apache$|Apache License",
    "BSD": r"BSD|Redistribution and use in source and binary forms",
    "CC0": r"CC0",
    "HPND": r"HPND|MIT-CMU",
    "ISC": r"ISC",
    "MIT": r"MIT|Permission is hereby granted, free of charge",
    "MPL-2.0": r"MPL|Mozilla Public License 2\.0",
    "PSF": r"PSF|Python Software Foundation|Matplotlib",
    "Unlicense": r"Unlicense",
    "Zlib": r"zlib",
}
RESTRICTIVE = r"\b[AL]?GPL|General Public License"


def requirements(extras: Sequence[str] = ()) -> list[Requirement]:
    """Those that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = list(project["dependencies"])
    for extra in extras:
        named += project["optional-dependencies"][extra]
    return [Requirement(text) for text in named]


def closure(extras: Sequence[str] = ()) -> dict[str, importlib.metadata.Distribution]:
    """All that is installed because of them, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = requirements(extras)
    seen = set()
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        environments = [{"extra": extra} for extra in wanted.extras or ("",)]
        if key in seen:
            continue
        seen.add(key)
        try:
            there = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        found[key[0]] = there
        for text in there.requires or ():
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate(e) for e in environments):
                needed.marker = None
                waiting.append(needed)
    return dict(sorted(found.items()))


def said(there: importlib.metadata.Distribution) -> Iterator[str]:
    """All that a package says about its license, the shortest form first."""
    meta = there.metadata
    yield from meta.get_all("License-Expression") or ()
    for line in meta.get_all("Classifier") or ():
        if line.startswith("License ::") and "OSI Approved ::" in line:
            yield line.rpartition(" :: ")[2]
    yield from (text for text in meta.get_all("License") or () if text.strip())
    for file in there.files or ():
        if re.match(r"(LICEN[CS]E|COPYING)", file.name, re.IGNORECASE):
            path = pathlib.Path(str(file.locate()))
            yield path.read_text(errors="replace")[:3000]


def license_of(there: importlib.metadata.Distribution) -> str:
    """The name of a package's license in `PERMISSIVE`, or what it says, if that is another."""
    for text in said(there):
        head = text.strip()[:3000]
        if re.search(RESTRICTIVE, head[:200]):
            return head.splitlines()[0][:60]
        for name, pattern in PERMISSIVE.items():
            if re.search(pattern, head, re.IGNORECASE):
                return name
    return next((text.strip().splitlines()[0][:60] for text in said(there)), "unknown")


def main(args: Sequence[str]) -> None:
    found = closure([arg for arg in args if arg != "--lock"])
    if "--lock" in args:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.stdout.write(f"# Python {version}; python -m tests.supply {' '.join(args)}\n")
        sys.stdout.writelines(f"{name}=={there.version}\n" for name, there in found.items())
        return
    for name, there in found.items():
        sys.stdout.write(f"{name:32}{there.version:20}{license_of(there)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
