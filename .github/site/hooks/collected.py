"""Pages and parts of pages that are collected from code, docstrings, tables and records."""

import html
import json
import pathlib
import re

import house
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OTHERS = re.compile(
    r"`test_|^Conventions|\b(torch|torchvision|Keras|optax|[Ss]ci[Pp]y|OpenCV|scikit-\w+|sacrebleu|"
    r"pycocotools|gensim|Flax|D2L|COCO|PASCAL|C program)\b"
)

INTRODUCTION = """\
Libraries and books that say the same name often mean different numbers: where a rate stands, what a
mean is over, whether a half belongs to it. These are the choices made here, and those of others, as
the docstrings state them; the names of tests lead to the lines that hold them.
[Where others go wrong](where_others_go_wrong.md) lists the mistakes that tests guard against."""


def linked_tests(text: str, up: str = "") -> str:
    """The names of tests in a text with links to the files that hold them."""
    files = house.where_tests_are()

    def link(found: re.Match[str]) -> str:
        file = files.get(found[1])
        return found[0] if file is None else f"[{found[0]}]({up}sources/tests/{file[:-3]}.md)"

    return re.sub(r"`(test_\w+)`", link, text)


def conventions_of(text: str) -> list[str]:
    """The blocks of a docstring that say what others do, with the tables and lists in them."""
    return [block for block in re.split(r"\n\s*\n", text)[1:] if OTHERS.search(block)]


def conventions() -> str:
    """What differs between libraries, room by room, from the docstrings."""
    parts = ["# Who does what", INTRODUCTION]
    for room in house.rooms():
        top = house.source_of(room)
        files = sorted(top.parent.glob("*.py")) if top.name == "__init__.py" else [top]
        blocks = [block for file in files for block in conventions_of(house.docstring(file))]
        if blocks:
            parts.append(f"## {room}")
            parts.append(f"In the reference: [`jaxdl.{room}`](reference/{room}.md).")
            parts += [linked_tests(block) for block in blocks]
    return "\n\n".join(parts) + "\n"


def traps() -> str:
    """The table of mistakes seen elsewhere, with links to the tests."""
    text = (house.ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## Where others go wrong") :].split("\n", 1)[1]
    table = re.split(r"^## ", table, flags=re.M)[0]
    return "# Where others go wrong\n" + linked_tests(table)


def subject_table(rows: list[str], page: Page) -> str:
    """The rows of the index whose section matches one of the patterns, with links."""
    up = "../"
    lines = [
        "## In code",
        "",
        "| section | blocks | held to others by | shown by |",
        "|---|---|---|---|",
    ]
    chosen = [row for row in house.index_rows() if any(re.search(p, row[0], re.I) for p in rows)]
    for pattern in rows:
        if not any(re.search(pattern, row[0], re.I) for row in chosen):
            raise PluginError(
                f"{page.file.src_uri}: no row of experiments/README.md has {pattern!r}"
            )
    for section, blocks, tests, shown in chosen:
        cells = [section, " ".join(block_link(name, up) for name in house.quoted(blocks))]
        cells.append(
            " ".join(f"[`{t}`]({up}sources/tests/{t[:-3]}.md)" for t in house.quoted(tests))
        )
        cells.append(
            " ".join(f"[`{e}`]({up}sources/experiments/{e}.md)" for e in house.quoted(shown))
        )
        lines.append("| " + " | ".join(cells) + " |")
    names = list(dict.fromkeys(e for row in chosen for e in house.quoted(row[3])))
    lines += ["", "```console", *(f"$ python -m experiments.{name}" for name in names), "```", ""]
    return "\n".join(lines)


def block_link(name: str, up: str) -> str:
    room, _, short = name.rpartition(".")
    if f"{room}.{short}" in house.rooms():
        return f"[`{name}`]({up}reference/{name}.md)"
    return f"[`{name}`]({up}reference/{room}.md#jaxdl.{name})"


def architecture_svg() -> str:
    """The floors of the house; drawn in the colors of the reader's scheme."""
    wide, high, gap, left = 118, 40, 10, 150
    rows, y = [], 8
    for layer, rooms in house.LAYERS.items():
        rows.append(f'<text x="{left - 16}" y="{y + 25}" class="layer">{layer}</text>')
        for place, room in enumerate(rooms):
            x = left + place * (wide + gap)
            rows.append(
                f'<a href="../reference/{room}/"><rect x="{x}" y="{y}" width="{wide}" '
                f'height="{high}" rx="6"/><text x="{x + wide / 2}" y="{y + 25}" '
                f'class="room">{room}</text></a>'
            )
        y += high + gap + 6
    size = f"0 0 {left + 5 * (wide + gap)} {y}"
    title = "The rooms of jaxdl in six floors: " + "; ".join(
        f"{layer}: {', '.join(rooms)}" for layer, rooms in house.LAYERS.items()
    )
    return (
        f'<div class="house"><svg viewBox="{size}" role="group" aria-label="{title}">'
        + "".join(rows)
        + "</svg></div>"
    )


def uses_table() -> str:
    """Which rooms each room imports, as the files stand."""
    lines = ["| room | uses |", "|---|---|"]
    for room in [name for name in house.rooms() if "." not in name]:
        imported = house.rooms_imported(room)
        used = [name for name in house.rooms() if name in imported]
        links = (
            " ".join(f"[`{name}`](reference/{name}.md)" for name in used) or "nothing of the house"
        )
        lines.append(f"| [`{room}`](reference/{room}.md) | {links} |")
    return "\n".join(lines)


def record(name: str, title: str) -> str:
    """A page of results that lies beside the experiments, with links to their sources."""
    text = (house.ROOT / "experiments" / name).read_text(encoding="utf-8")
    known = set(house.experiments())

    def link(found: re.Match[str]) -> str:
        first = found[1].split()[0]
        page = f"sources/experiments/{first}.md"
        return f"| [{'`' + found[1] + '`'}]({page}) |" if first in known else found[0]

    text = re.sub(r"^\| `([^`]+)` \|", link, text, flags=re.M)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:|#|sources/)[^)]+\)", r"\1", text)
    return f"---\ntitle: {title}\nhide: [toc]\n---\n{text}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the collected pages and the picture of the home page."""
    pages = {
        "conventions.md": conventions(),
        "where_others_go_wrong.md": traps(),
        "results.md": record("RESULTS.md", "Results"),
        "speed.md": record("SPEED.md", "Speed"),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    picture = (house.ROOT / "experiments" / "gallery.jpg").read_bytes()
    files.append(File.generated(config, "gallery.jpg", content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in the marks `<!-- house -->`, `<!-- uses -->`, `<!-- subjects -->` and the tables."""
    if rows := page.meta.get("rows"):
        markdown += "\n\n" + subject_table(rows, page)
    if "<!-- subjects -->" in markdown:
        markdown = markdown.replace("<!-- subjects -->", subjects(config))
    if "<!-- house -->" in markdown:
        markdown = markdown.replace("<!-- house -->", architecture_svg())
    return markdown.replace("<!-- uses -->", uses_table() if "<!-- uses -->" in markdown else "")


def subjects(config: MkDocsConfig) -> str:
    """The subjects with the sections of each; a row that no page tells of is an error."""
    lines, told = ["| subject | sections |", "|---|---|"], set()
    listed = re.findall(r"subjects/(\w+)\.md", str(config.nav))
    for name in [name for name in listed if name != "index"]:
        path = pathlib.Path(config.docs_dir) / "subjects" / f"{name}.py"
        head = path.read_text(encoding="utf-8").split("# ---")[1]
        title = re.search(r"title: (.*)", head)
        patterns = re.search(r"rows: (\[.*\])", " ".join(head.replace("\n#", " ").split()))
        if not title or not patterns:
            raise PluginError(f"{path.name} needs a title and rows in its head")
        found = [
            row[0]
            for row in house.index_rows()
            if any(re.search(p, row[0], re.I) for p in json.loads(patterns[1]))
        ]
        told |= set(found)
        lines.append(f"| [{title[1]}]({path.stem}.md) | {'; '.join(dict.fromkeys(found))} |")
    if left := {row[0] for row in house.index_rows()} - told:
        raise PluginError(f"no subject tells of {sorted(left)}")
    return "\n".join(lines)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, which every browser reads and speaks, with no script."""

    def formula(found: re.Match[str]) -> str:
        latex = html.unescape(found[2])[2:-2]
        return convert(latex, display="block" if found[1] == "div" else "inline")

    content = re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', formula, content, flags=re.S)
    # A table that is wider than a phone scrolls by itself, and can be reached by the keyboard.
    content = content.replace(
        "<table>", '<div class="wide" tabindex="0" role="group" aria-label="table"><table>'
    )
    return content.replace("</table>", "</table></div>")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Names for what readers of screens meet."""
    output = output.replace('role="dialog"', 'role="dialog" aria-label="Search"', 1)
    # The theme names a section that has a page of its own by an empty label.
    titles = [next(iter(section)) for section in config.nav or []]
    return re.sub(
        r'aria-labelledby="__nav_(\d+)_label"',
        lambda found: f'aria-label="{titles[int(found[1]) - 1]}"',
        output,
    )
