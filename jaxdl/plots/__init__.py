"""Figures: each function returns a `matplotlib.figure.Figure`, to save, show or put in a page."""

from jaxdl.plots._curves import confusion, curves

__all__ = ["confusion", "curves"]
