"""Losses: one number per example, from logits, nothing averaged.

The mean is taken once, by the caller, under whatever mask or weights the batch carries:
`metrics.Mean.from_values(losses.softmax_cross_entropy(logits, labels), batch["mask"])`.

Shapes never broadcast, `[B, 1]` against `[B]` is a ValueError. NumPy labels out of range raise;
inside `jit` they give NaN with a gradient of zero, so a mask hides them and a mean shows them.
All are finite with finite gradients at logits of +-1e4, and computed in float32 or wider.

Conventions, what others do, and the test that shows it:

- Cross entropy is a sum over the classes; some books divide by their number.
  `test_cross_entropy_is_not_divided_by_the_classes`
- `sigmoid_cross_entropy` takes logits, and a logarithm; others put a sigmoid before it, which
  saturates, or average probabilities. `test_sigmoid_cross_entropy_at_the_extremes`
- Squared errors have no 1/2; several books have one. `test_squared_error_has_no_half`
- `smooth_l1_loss` is divided by beta, `huber_loss` is not divided by delta; so in torch, while
  optax has Huber alone. `test_huber_and_smooth_l1`
- The multi-class hinge looks at the worst rival, as scikit-learn; torch averages over K.
  `test_multiclass_hinge_against_sklearn`
- BPR is `-log_sigmoid` of a difference of scores; `log(sigmoid(x))` is -inf at -100, and a sigmoid
  inside the model makes it two. `test_bpr_far_on_the_wrong_side`
- Total variation is a sum of absolute differences; others take means, or squares.
  `test_total_variation_is_a_sum`
- The Gram matrix is divided by C H W; others by H W, or not at all. `test_gram_matrix_by_hand`
"""

from jaxdl.losses._classification import (
    hinge_loss,
    masked_sigmoid_cross_entropy,
    multiclass_hinge_loss,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
    softmax_cross_entropy,
    softmax_focal_loss,
    softmax_kl_divergence,
)
from jaxdl.losses._detection import MultiboxLoss, hard_negative_mining, multibox_loss
from jaxdl.losses._ranking import bpr_loss, pairwise_hinge_loss, sampled_softmax_loss
from jaxdl.losses._regression import (
    absolute_error,
    huber_loss,
    mean_squared_error,
    smooth_l1_loss,
    squared_error,
    sum_squared_error,
)
from jaxdl.losses._style import content_loss, gram_matrix, style_loss, total_variation

__all__ = [
    "MultiboxLoss",
    "absolute_error",
    "bpr_loss",
    "content_loss",
    "gram_matrix",
    "hard_negative_mining",
    "hinge_loss",
    "huber_loss",
    "masked_sigmoid_cross_entropy",
    "mean_squared_error",
    "multibox_loss",
    "multiclass_hinge_loss",
    "pairwise_hinge_loss",
    "sampled_softmax_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "softmax_cross_entropy",
    "softmax_focal_loss",
    "softmax_kl_divergence",
    "squared_error",
    "style_loss",
    "sum_squared_error",
    "total_variation",
]
