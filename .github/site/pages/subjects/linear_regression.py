# ---
# title: Linear regression
# rows: ["linear regression and its cost", "gradient descent, feature scaling", "normal equation",
#   "absolute and square trick"]
# ---

# %% [markdown]
# # Linear regression
#
# A linear model predicts a number as a weighted sum of the features and an intercept. The weights
# that fit the data best are those of least mean squared error,
#
# $$\min_{w, b} \; \frac{1}{N} \sum_{i=1}^{N} (w^\top x_i + b - y_i)^2$$
#
# There are two ways there. The *normal equation* sets the gradient to zero and solves $X^\top X w =
# X^\top y$ at once; where columns repeat each other the matrix is singular, and of all the
# solutions the shortest is taken. *Gradient descent* goes downhill step by step, $w \leftarrow w -
# \eta \nabla_w$; with a small enough rate $\eta$ it arrives at the same point, for models as well
# that have no closed form. It is quick only if the features have one scale: a column in the
# thousands makes a narrow valley, across which the steps swing. So columns are brought to mean 0
# and deviation 1 first, with numbers taken from the training rows alone.
#
# One example at a time, the step of the squared error moves the line towards the point in
# proportion to how far off it is (the square trick), that of the absolute error by the same amount
# always (the absolute trick); the second is less impressed by outliers.

# %% alt="Predictions of the linear model against the true values, around the line on which they agree"

from jaxdl import classical, data, plots

splits = data.load("diabetes")
x, y = splits["train"]["features"], splits["train"]["target"]
scaler = data.tabular.fit_standard(x)
params, report = classical.fit_least_squares(scaler.apply(x), y)
predicted = classical.linear(params, scaler.apply(splits["test"]["features"]))
plots.predicted(splits["test"]["target"], predicted, unit="progression of diabetes")
