# ---
# title: Regularization
# rows: ["ridge by descent", "L1 and L2", "decay, dropout, initialization, scaling"]
# ---

# %% [markdown]
# # Regularization
#
# A penalty on the weights trades a little bias for less variance:
#
# $$\min_w \; \frac{1}{N} \sum_i (w^\top x_i + b - y_i)^2 + \lambda \left( \alpha \lVert w \rVert_1 +
# \tfrac{1-\alpha}{2} \lVert w \rVert_2^2 \right)$$
#
# With $\alpha = 0$ it is *ridge*: all weights shrink, none to zero, and the normal equation becomes
# $(X^\top X + \lambda N I)\,w = X^\top y$, which is never singular. With $\alpha = 1$ it is the
# *lasso*: its corners make weights exactly zero, so that it also selects. Between them is the
# elastic net. The intercept is not penalized, and features have one scale first, for a penalty
# compares weights with each other.
#
# In networks the squared penalty is called weight decay. Added to the loss it is rescaled by
# adaptive optimizers; AdamW subtracts it from the weights themselves instead. *Dropout* sets a
# random share $p$ of activations to zero while training and divides the others by $1 - p$, so that
# no unit can rely on another one and expectations stay as they are.

# %% alt="Coefficients against the penalty: ridge shrinks all of them, the lasso sets one after the other to zero"
import numpy as np

from jaxdl import classical, data, plots

split = data.load("diabetes")["train"]
x = data.tabular.fit_standard(split["features"]).apply(split["features"])
penalties = np.geomspace(0.01, 100.0, 40)
ridge = classical.ridge_path(x, split["target"], penalties)
lasso = classical.elastic_net_path(x, split["target"], penalties)
weights = {
    name: (penalties, np.asarray(path[0].coefficients))
    for name, path in [("ridge", ridge), ("lasso", lasso)]
}
plots.coefficient_paths(weights)
