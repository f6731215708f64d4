# ---
# title: Logistic and softmax regression
# rows: ["logistic regression, cross entropy", "softmax regression with ridge", "multi-label",
#   "^logistic regression$", "softmax regression on handwritten",
#   "binary and many classes", "losses from logits"]
# ---

# %% [markdown]
# # Logistic and softmax regression
#
# For a question with two answers, a linear score is squeezed into a probability, $p = \sigma(w^\top
# x + b) = 1 / (1 + e^{-(w^\top x + b)})$, and what is minimized is the surprise of the true
# answers, the cross entropy
#
# $$-\frac1N \sum_i \left( y_i \log p_i + (1 - y_i) \log (1 - p_i) \right)$$
#
# With K answers of which one is right, *softmax* takes the place of the sigmoid: $p_k = e^{z_k} /
# \sum_j e^{z_j}$. In both cases the gradient at the score is what one would wish for, $p - y$: how
# wrong, and in which direction. Where several answers may be right at once (a picture of a beach
# *and* a boat), each is a question of its own with a sigmoid.
#
# Losses take the scores before the squeezing (*logits*), not probabilities: $\log \sigma(z)$ can be
# computed for any $z$, while $\log(\sigma(z))$ in two steps is minus infinity from about $-100$ on.
# An answer needs a threshold; one half is right only if both kinds of mistakes cost the same.

# %% alt="Three regions with straight borders, one for each kind of iris"

from jaxdl import classical, data, plots

splits = data.load("iris")
x, label = splits["train"]["features"][:, 2:4], splits["train"]["label"]
params, report = classical.fit_softmax(x, label, 0.1, num_classes=3)
panel = lambda points: classical.linear(params, points).argmax(-1), x, label
plots.regions({"softmax regression: length and width of petals (cm)": panel})
