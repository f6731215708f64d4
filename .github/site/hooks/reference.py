"""The reference: a page for every room, from its `__all__`, and the sources that pages refer to."""

import importlib
import inspect

import house
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def room_page(room: str) -> str:
    """A room: its docstring, what it shows, and what it passes on from elsewhere."""
    names = [name for name in house.names_of(room) if f"{room}.{name}" not in house.rooms()]
    module = importlib.import_module(f"jaxdl.{room}")
    passed_on = [name for name in names if from_elsewhere(getattr(module, name))]
    members = "\n".join(f"        - {name}" for name in names if name not in passed_on)
    lines = ["---", f"title: {room}", "---", f"# jaxdl.{room}", "", f"::: jaxdl.{room}"]
    lines += ["    options:", "      members:", members, ""]
    for name in passed_on:
        value = getattr(module, name)
        first = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
        lines += [f"## {name} {{ #jaxdl.{room}.{name} }}", ""]
        lines += [f"`{value.__module__.replace('._src', '')}.{name}`, as it is: {first}", ""]
    return "\n".join(lines)


def from_elsewhere(value: object) -> bool:
    """Whether a public name is another library's function."""
    return callable(value) and not (getattr(value, "__module__", "") or "jaxdl").startswith(
        ("jaxdl", "functools", "typing", "collections")
    )


def index_page() -> str:
    """One line for every room."""
    lines = ["# Reference", "", "Each room may use the rooms above it, never those below.", ""]
    lines += ["| room | what it holds |", "|---|---|"]
    for room in house.rooms():
        summary = " ".join(house.docstring(house.source_of(room)).split("\n\n")[0].split())
        lines.append(f"| [`{room}`]({room}.md) | {summary.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def source_page(path: str) -> str:
    """A file of the repository with its lines."""
    text = (house.ROOT / path).read_text(encoding="utf-8").rstrip()
    command = ""
    if path.startswith("experiments/"):
        command = f"```console\n$ python -m experiments.{path[12:-3]} --help\n```\n\n"
    head = f"---\ntitle: {path}\nsearch:\n  exclude: true\nhide: [toc]\n---\n# {path}\n\n"
    return f"{head}{command}````python\n{text}\n````\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The rooms in the navigation, in the order of the house."""
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"] += [{room: f"reference/{room}.md"} for room in house.rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    pages = {f"reference/{room}.md": room_page(room) for room in house.rooms()}
    pages["reference/index.md"] = index_page()
    for name in house.experiments():
        path = f"experiments/{name}.py"
        pages[f"sources/{path[:-3]}.md"] = source_page(path)
    for file in sorted(set(house.where_tests_are().values())):
        pages[f"sources/tests/{file[:-3]}.md"] = source_page(f"tests/{file}")
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
