# ---
# title: Recommenders
# rows: ["collaborative filtering", "matrix factorization", "BPR, hinge"]
# ---

# %% [markdown]
# # Recommenders
#
# Who liked what, and what will they like next? *Neighbors*: people who rated alike, or items that
# were rated alike, by correlation over what both have. *Matrix factorization* gives each user and
# item a vector,
#
# $$\hat r_{ui} = \mu + b_u + b_i + p_u^\top q_i$$
#
# fitted to the ratings that exist; those that do not exist are not zeros. AutoRec restores an
# item's whole column of ratings from itself.
#
# Clicks say only what was chosen. *BPR* asks that the chosen item score above one that was not,
# $-\log \sigma(\hat x_{ui} - \hat x_{uj})$; NeuMF replaces the product by a network. Ranking is
# judged on *all* items the user has not seen: hit rate at $k$ and the area under the curve. Ranking
# among a hundred sampled items makes weak models look strong, and ties must be shared, or a model
# that gives every item the same score hits always.

# %% alt="Error on ratings that were held out, against the number of passes, for three ranks"
import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from jaxdl import data, recommenders

ratings = recommenders.Interactions.from_splits(data.load("low_rank"))
known, held = recommenders.split_random(ratings.ratings, 0.1, seed=0)
columns = {name: jnp.asarray(known[name]) for name in ("user", "item", "rating")}
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.add_subplot()
for factors in (1, 4, 16):
    model = recommenders.MatrixFactorization(
        ratings.num_users, ratings.num_items, factors
    )
    pair = jnp.zeros(1, int)
    params = model.init(jax.random.key(0), pair, pair, train=False)["params"]
    params = {**params, "mean": jnp.mean(columns["rating"])}
    errors = []
    for epoch in range(12):
        params, _ = recommenders.pointwise_sgd(
            params,
            columns,
            epochs=1,
            seed=0,
            first_epoch=epoch,
            learning_rate=0.03,
            l2=0.05,
        )
        scores = model.apply(
            {"params": params}, held["user"], held["item"], train=False
        )
        errors.append(float(jnp.sqrt(jnp.mean((scores - held["rating"]) ** 2))))
    axes.plot(range(1, 13), errors, marker=".", label=f"{factors} factors")
axes.set(xlabel="passes over the ratings", ylabel="RMSE, held out (stars)")
axes.legend(frameon=False)
figure
