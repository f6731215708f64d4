"""Metrics as mergeable states: totals and weights, divided once, at `compute`.

One protocol for all: `Metric.empty()`, `Metric.from_batch(outputs, targets, mask)`, `merge`,
`compute`. States are pytrees, so updates run under `jit`, `vmap` and `scan`, and the states of
several devices merge by `merge_stacked`. Any split into batches, any padding and any number of
devices give the number of the whole set. Sums carry what float32 rounding loses.

Shapes never broadcast, `[B, 1]` against `[B]` is a ValueError. Weights are masks or numbers >= 0;
a place of weight 0 counts for nothing whatever it holds. Negative weights raise on the host and
make the result NaN in a program; labels out of range raise on the host, and in a program are a
miss (accuracy), not counted (confusion matrix), or NaN (losses).

Of nothing: a mean is 0, perplexity 1, an area under a curve NaN, a ratio its `zero_division`.

Conventions, what others do, and the test that shows it:

- A mean is over everything, not over means of batches: 16 images of a last batch would weigh 15.6
  times too much, and a perplexity came out as 308.9 for 870.1.
  `test_mean_is_not_a_mean_of_batch_means`, `test_perplexity_is_weighted_by_tokens`
- ROC AUC is exact, with half for ties; 200 thresholds on [0, 1] give 0.900 for 0.925, and 0.317 on
  logits. `test_auc_of_logits_is_that_of_probabilities`. In bounded memory it is called
  approximate and bounds its own error. `test_approximate_auc_keeps_its_bound`
- The area under the precision-recall curve is the step-wise average precision; others take the
  trapezoid. `test_average_precision_is_no_trapezoid`
- Equal logits: the lower class comes first, so a constant scorer is right as often as class 0
  occurs; scikit-learn's top-k prefers the higher. `test_top_k_prefers_the_lower_class`
- Macro means are over all K classes; scikit-learn leaves out those that never occur unless given
  `labels`. `test_macro_counts_absent_classes`
- Detectors are judged by mAP: a score over all anchors rewards background everywhere.
  `test_predicting_background_everywhere_scores_nothing`. COCO's and PASCAL's rules differ in which
  ground truth a detection finds, and in interpolation. `test_average_precision_is_pycocotools`
- BLEU is sacrebleu's. `test_bleu_against_sacrebleu`
- Mean IoU leaves out void pixels and absent classes; pixel accuracy is dominated by background.
  `test_mean_iou_ignores_void`
- Ranking metrics are over the full catalog without known items, in expectation over ties; a
  constant scorer scores what chance scores. `test_a_constant_scorer_is_chance`
- RMSE is one root of one mean, not a mean of roots. `test_rmse_is_one_root`
- R2 takes the spread about the mean of all targets, never of a batch, and survives a mean of 1e4.
  `test_r2_far_from_zero`
"""

from jaxdl.metrics._base import Collection, Mean, Metric, Total, merge_stacked
from jaxdl.metrics._bootstrap import (
    Bootstrap,
    Interval,
    PairedDifference,
    bootstrap,
    bootstrap_states,
)
from jaxdl.metrics._classification import (
    Accuracy,
    CalibrationError,
    ConfusionMatrix,
    LogLoss,
    PrecisionRecall,
)
from jaxdl.metrics._curves import (
    AUROC,
    ApproximateAUROC,
    ApproximateAveragePrecision,
    AveragePrecision,
)
from jaxdl.metrics._detection import MeanAveragePrecision
from jaxdl.metrics._language import BLEU, Perplexity, d2l_bleu
from jaxdl.metrics._ranking import Ranking
from jaxdl.metrics._regression import R2, MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from jaxdl.metrics._segmentation import MeanIoU

__all__ = [
    "AUROC",
    "BLEU",
    "R2",
    "Accuracy",
    "ApproximateAUROC",
    "ApproximateAveragePrecision",
    "AveragePrecision",
    "Bootstrap",
    "CalibrationError",
    "Collection",
    "ConfusionMatrix",
    "Interval",
    "LogLoss",
    "Mean",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanIoU",
    "MeanSquaredError",
    "Metric",
    "PairedDifference",
    "Perplexity",
    "PrecisionRecall",
    "Ranking",
    "RootMeanSquaredError",
    "Total",
    "bootstrap",
    "bootstrap_states",
    "d2l_bleu",
    "merge_stacked",
]
