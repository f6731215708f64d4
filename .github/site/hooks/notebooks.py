"""Pages that are notebooks: cells (`# %%`) in a Python file, run while the site is built.

The pages below `guides/` each get a kernel of their own, two at a time; all others share one, in
which every page begins with an empty namespace. What a page gave is kept in the cache folder until
its text or a file of the library changes, so that only what changed is run again. Text a cell
writes to the error stream (a warning) fails the build as an exception does. Figures are drawn
without a background, once for both schemes: `style.css` inverts those that hold no pictures where
the reader's scheme is dark.
"""

import base64
import concurrent.futures
import hashlib
import logging
import os
import pathlib
import time

import jupytext
import kernel
import nbclient
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parents[3]
LOG = logging.getLogger("mkdocs.hooks.notebooks")
# Runs before every page and is not shown.
SETUP = "%reset -f\nimport kernel\nkernel.begin()\ndel kernel"


def pages(config: MkDocsConfig) -> dict[str, pathlib.Path]:
    """The notebooks below the pages, by the address of the Markdown they become."""
    top = pathlib.Path(config.docs_dir)
    return {
        path.relative_to(top).with_suffix(".md").as_posix(): path
        for path in sorted(top.rglob("*.py"))
    }


def execute(paths: list[pathlib.Path]) -> list[nbformat.NotebookNode]:
    """Runs notebooks one after the other in one process, and gives them back with their outputs."""
    notebooks = [jupytext.read(path, fmt="py:percent") for path in paths]
    together = nbformat.v4.new_notebook()
    for notebook in notebooks:
        together.cells += [nbformat.v4.new_code_cell(SETUP), *notebook.cells]
    client = nbclient.NotebookClient(
        together, timeout=300, kernel_name="python3", extra_arguments=["--log-level=ERROR"]
    )
    began = time.perf_counter()
    try:
        client.execute(cwd=str(ROOT))
    except (nbclient.exceptions.CellControlSignal, nbclient.exceptions.DeadKernelError) as error:
        raise PluginError(f"{', '.join(p.name for p in paths)}: {error}") from error
    LOG.info("ran %s in %.1f s", ", ".join(p.stem for p in paths), time.perf_counter() - began)
    return notebooks


def markdown(notebook: nbformat.NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook with its outputs as Markdown, and the figures it refers to."""
    parts: list[str] = []
    figures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type in ("markdown", "raw"):
            parts.append(cell.source)
            continue
        tags = cell.metadata.get("tags", [])
        if "hide" not in tags:
            parts.append(f"```python\n{cell.source}\n```")
        alt = cell.metadata.get("alt", "")
        parts += [shown(output, figures, name, alt) for output in cell.outputs]
    return "\n\n".join(part for part in parts if part) + "\n", figures


def shown(output: nbformat.NotebookNode, figures: dict[str, bytes], name: str, alt: str) -> str:
    """One output of a cell as Markdown; a figure is added to `figures`."""
    if output.output_type == "stream":
        if output.name == "stderr":
            raise PluginError(f"{name} wrote to its error stream:\n{output.text}")
        return f'```text title=""\n{output.text.rstrip()}\n```\n{{: .output }}'
    bundle = output.data
    for kind, suffix in (("drawing", "svg"), ("picture", "png")):
        if encoded := bundle.get(f"application/x-{kind}"):
            data = base64.b64decode(encoded)
            file = f"{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
            figures[file] = data
            if not alt:
                raise PluginError(f'{name}: a figure needs words: # %% alt="..."')
            size = f" width={png_width(data) * 100 // kernel.DPI}" if suffix == "png" else ""
            return f"![{alt}]({file}){{ .{kind}{size} }}"
    return f"```text\n{bundle.get('text/plain', '').rstrip()}\n```"


def kept(path: pathlib.Path) -> pathlib.Path:
    """Where the outputs of a page are kept: a name made of its text and of all of the library."""
    digest = hashlib.sha256(path.read_bytes())
    for file in [*sorted((ROOT / "jaxdl").rglob("*.py")), pathlib.Path(kernel.__file__)]:
        digest.update(file.read_bytes())
    return cache_folder() / "pages" / f"{path.stem}-{digest.hexdigest()[:16]}.ipynb"


def cache_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("JAXDL_CACHE") or pathlib.Path.home() / ".cache" / "jaxdl")


def png_width(data: bytes) -> int:
    """Pixels of a PNG file from left to right."""
    return int.from_bytes(data[16:20], "big")


def run(paths: list[pathlib.Path]) -> None:
    """Runs pages in one process and keeps what they gave."""
    for path, notebook in zip(paths, execute(paths), strict=True):
        markdown(notebook, path.name)  # raises for a page that is not to be kept
        nbformat.write(notebook, kept(path))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Runs the notebooks and puts their Markdown and figures in their place."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "programs"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    here = [str(ROOT), str(pathlib.Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(here)
    found = pages(config)
    stale = [name for name in found if not kept(found[name]).exists()]
    groups = [[name] for name in stale if name.startswith("guides/")]
    if rest := [name for name in stale if not name.startswith("guides/")]:
        groups.insert(0, rest)
    (cache_folder() / "pages").mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda names: run([found[name] for name in names]), groups))
    for name, path in found.items():
        text, figures = markdown(nbformat.read(kept(path), as_version=4), name)
        files.remove(files.src_uris[name.replace(".md", ".py")])
        files.append(File.generated(config, name, content=text))
        folder = pathlib.PurePosixPath(name).parent
        for file, data in figures.items():
            files.append(File.generated(config, (folder / file).as_posix(), content=data))
    return files
