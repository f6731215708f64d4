"""What a page's kernel does before the page's own cells: an empty folder, and figures as they are
shown on the site."""

import base64
import io
import os
import tempfile
from typing import Any

from matplotlib.figure import Figure

DPI = 160  # of pictures, which are shown at 100: sharp on fine screens


def begin() -> None:
    """Sets up a kernel for one page."""
    os.chdir(tempfile.mkdtemp())
    bundle = get_ipython().display_formatter.mimebundle_formatter  # type: ignore[name-defined]  # noqa: F821
    bundle.for_type(Figure, lambda figure, include=None, exclude=None: shown(figure))


def shown(figure: Figure) -> dict[str, Any]:
    """A figure in which pixels matter as PNG on white, all others as a drawing without ground."""
    out = io.BytesIO()
    if any(axes.images for axes in figure.axes):
        figure.savefig(out, format="png", dpi=DPI, facecolor="white")
        kind = "picture"
    else:
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        kind = "drawing"
    return {f"application/x-{kind}": base64.b64encode(out.getvalue()).decode()}
