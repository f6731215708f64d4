# ---
# title: Judging a classifier
# rows: ["precision, recall, F1", "precision and recall of rare", "error analysis"]
# ---

# %% [markdown]
# # Judging a classifier
#
# If one message in a hundred is spam, a filter that lets everything through is right 99 times.
# Accuracy does not see it; two other numbers do:
#
# $$\text{precision} = \frac{\text{true positives}}{\text{called positive}}, \qquad
# \text{recall} = \frac{\text{true positives}}{\text{positive}}, \qquad
# F_1 = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}$$
#
# A threshold trades one against the other. All thresholds at once make a curve, and the area under
# it (average precision, or the area under the ROC curve) judges the scores without one. With
# several classes, the *macro* mean counts each class alike, the *micro* mean each example.
#
# When the number is known, look at the mistakes themselves: the examples of greatest loss, the
# pairs of classes that are confused. An hour with fifty mistakes in a table often says more than
# another week of tuning. And none of these numbers may be averaged over batches; they are computed
# from totals.

# %% alt="Confusion matrix of softmax regression on digits"
import numpy as np

from jaxdl import classical, data, metrics, plots

splits = data.load("digits")
flat = {
    name: split["image"].reshape(len(split), -1) / np.float32(255)
    for name, split in splits.items()
}
params, _ = classical.fit_softmax(
    flat["train"], splits["train"]["label"], 1.0, num_classes=10
)
logits, labels = classical.linear(params, flat["test"]), splits["test"]["label"]
confusion = metrics.ConfusionMatrix.from_batch(logits, labels).compute()
for truth, answer, count in classical.confused_pairs(confusion, 3):
    print(f"{truth} taken for {answer}: {count} times")
plots.confusion(confusion, splits.info.class_names)
