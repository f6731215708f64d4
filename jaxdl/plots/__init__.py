"""Figures: each function returns a `matplotlib.figure.Figure`, to save, show or put in a page."""

from jaxdl.plots._attention import attention_maps
from jaxdl.plots._backprop import gradient_flow, with_derivatives
from jaxdl.plots._bench import growth, roofline
from jaxdl.plots._calibration import reliability
from jaxdl.plots._curves import compare, confusion, curves, forecasts
from jaxdl.plots._detection import detected, framed, precision_recall
from jaxdl.plots._images import gallery, tiles
from jaxdl.plots._information import associations
from jaxdl.plots._language import gradient_by_distance, rank_frequency
from jaxdl.plots._ledger import ledger
from jaxdl.plots._plan import plan_scaling, plans
from jaxdl.plots._recommender import by_popularity
from jaxdl.plots._scaling import power_law, scaling
from jaxdl.plots._segmentation import segmentation_colors, segmentations
from jaxdl.plots._sweeps import heat_maps, performance_profiles, side_by_side
from jaxdl.plots._tabular import boxes, coefficient_paths, predicted, regions, score_curves
from jaxdl.plots._vectors import word_map

__all__ = [
    "associations",
    "attention_maps",
    "boxes",
    "by_popularity",
    "coefficient_paths",
    "compare",
    "confusion",
    "curves",
    "detected",
    "forecasts",
    "framed",
    "gallery",
    "gradient_by_distance",
    "gradient_flow",
    "growth",
    "heat_maps",
    "ledger",
    "performance_profiles",
    "plan_scaling",
    "plans",
    "power_law",
    "precision_recall",
    "predicted",
    "rank_frequency",
    "regions",
    "reliability",
    "roofline",
    "scaling",
    "score_curves",
    "segmentation_colors",
    "segmentations",
    "side_by_side",
    "tiles",
    "with_derivatives",
    "word_map",
]
