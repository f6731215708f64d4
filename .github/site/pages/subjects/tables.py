# ---
# title: Tables
# rows: ["missing values", "discretization", "one-hot encoding", "outliers", "what went wrong"]
# ---

# %% [markdown]
# # Tables
#
# Tables come with holes, words and impossible numbers. Each cure has a number in it (a mean, a
# bound, the list of known words) that must come from the training rows and be *applied* to all
# others; fitted on the test rows as well, it tells the model what it should not know.
#
# *Missing values*: drop the rows that lack something, or fill them with the mean, the median or the
# most frequent value of the column, in series with the value before. *Categories* become one column
# each, 1 where the row is of that category; a category that was not seen while fitting is all
# zeros. *Discretization* cuts numbers into bins, of one width or of one number of rows. *Outliers*
# lie outside
#
# $$[\,Q_1 - 1.5\,(Q_3 - Q_1), \; Q_3 + 1.5\,(Q_3 - Q_1)\,]$$
#
# (the whiskers of a box plot) or more than three standard deviations from the mean. The second rule
# is weaker than it looks: a single huge value widens the deviation that is to find it.

# %% alt="Box plots of two columns, with points beyond the whiskers"
import numpy as np

from jaxdl import data, plots

generator = np.random.default_rng(0)
age = generator.normal(40, 12, 300)
income = generator.lognormal(10, 0.6, 300)
income[:2] = np.nan, 900_000
columns = np.stack([age, income], axis=1).astype(np.float32)
filled = data.tabular.fit_imputer(columns, how="median").apply(columns)
print(
    "missing before", np.isnan(columns).sum(), "after", int(np.isnan(filled).sum())
)
plots.boxes({"age in years": columns[:, 0], "income per year": columns[:, 1]})
