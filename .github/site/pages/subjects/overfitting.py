# ---
# title: Overfitting and choosing a model
# rows: ["over-fitting", "choosing a degree", "bias and variance", "^polynomial regression", "size of the network"]
# ---

# %% [markdown]
# # Overfitting and choosing a model
#
# A model with enough freedom fits the noise. Polynomials show it: the error on the training rows
# falls with every degree, the error on other rows falls and then rises. The expected squared error
# has three parts,
#
# $$\mathbb{E}\,(\hat f(x) - y)^2 = \underbrace{(\mathbb{E} \hat f(x) - f(x))^2}_{\text{bias}^2} +
# \underbrace{\operatorname{Var} \hat f(x)}_{\text{variance}} + \underbrace{\sigma^2}_{\text{noise}}$$
#
# Too simple a model is biased: it is wrong in the same way whatever the data. Too free a model
# varies: it is another one for every sample. The two need opposite cures, so tell them apart before
# buying data. A *learning curve* does: with bias both errors meet early and high, and more rows do
# not help; with variance a gap stays that more rows close.
#
# Choices such as a degree, a penalty or the size of a network are made on rows that took no part in
# fitting (validation), and the number that is reported comes from rows that took no part in
# choosing (test). With few rows, *k-fold* cross-validation lets each row validate once. A large
# network with a penalty is usually better than a small one without.

# %% alt="Training error falls with the degree; validation error falls, then rises"
import numpy as np

from jaxdl import classical, data, plots

generator = np.random.default_rng(0)
x = generator.uniform(-1, 1, (60, 1)).astype(np.float32)
y = np.sin(3 * x[:, 0]) + 0.3 * generator.normal(size=60).astype(np.float32)
folds = classical.k_folds(60, 5, seed=0)
degrees, training, validation = range(1, 13), [], []
for degree in degrees:
    scores = classical.cross_validate(
        lambda a, b, w: classical.fit_ridge(a, b, 1e-6, w)[0],
        lambda p, a, b, w: classical.mean_squared_error(
            classical.linear(p, a), b, w
        ),
        data.tabular.polynomial_features(x, degree),
        y,
        folds,
    )
    training.append(scores.train)
    validation.append(scores.validation)
panel = list(degrees), np.stack(training, -1), np.stack(validation, -1)
plots.score_curves(
    {"sixty points of a sine": panel}, x="degree", y="squared error", log=True
)
