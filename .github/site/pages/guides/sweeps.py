# %% [markdown]
# # Sweeps and evidence
#
# One run is an anecdote. A seed, a rate, a penalty is one more axis of the same program: `train.sweep`
# trains a whole grid at once, each member exactly as it would train alone.

# %%
import numpy as np

from jaxdl import data, losses, metrics, models, objectives, optim, plots, train

splits = data.load("digits")
objective = objectives.supervised(
    models.MLP((32, 10)),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.Accuracy.from_batch},
    preprocess=data.images.to_unit,
)


def member(hyper: train.Hyper) -> train.Trainer:
    return train.make(
        objective, optim.momentum(hyper["learning_rate"], hyper["momentum"])
    )


rates, momenta, seeds = [0.003, 0.03, 0.3], [0.0, 0.9], range(5)
grid = train.grid(learning_rate=rates, momentum=momenta, seed=seeds)
swept = train.sweep(
    member,
    grid,
    splits["train"],
    epochs=8,
    batch_size=32,
    held_out={"test": splits["test"]},
)
for row in swept.summary("test/accuracy", by=["learning_rate", "momentum"]):
    print(
        f"rate {row['learning_rate']:<6g} momentum {row['momentum']:<4g} "
        f"mean {row['mean']:.3f} from {row['min']:.3f} to {row['max']:.3f}"
    )

# %% alt="Mean test accuracy for every pair of learning rate and momentum"
shape = len(rates), len(momenta), len(seeds)
plots.heat_maps(
    {"mean of five seeds": swept.final("test/accuracy").reshape(shape).mean(-1)},
    rows=rates,
    columns=momenta,
    row_label="learning rate",
    column_label="momentum",
    title="test accuracy",
)

# %% [markdown]
# A member whose loss is no longer finite is frozen and reported in `swept.diverged`; the others do not
# notice. To train one of them alone, call `member` with plain numbers and `train.fit` with its trainer.
#
# ## Choose on data that is not the test set
#
# The best cell above was seen on the test set, so its number is a little too good. Cut validation data
# out of the training set, choose there, and look at the test set once:

# %%
from jaxdl import classical

kept, held = classical.train_test_split(len(splits["train"]), (0.8, 0.2), seed=1)
chosen = train.sweep(
    member,
    grid,
    splits["train"].take(kept),
    epochs=8,
    batch_size=32,
    held_out={"validation": splits["train"].take(held), "test": splits["test"]},
)
best = chosen.best("validation/accuracy")
print({name: values[best].item() for name, values in chosen.hypers.items()})
print("validation", chosen.final("validation/accuracy")[best])
print("test      ", chosen.final("test/accuracy")[best])

# %% [markdown]
# ## Is it better, or luck?
#
# `train.compare` holds the seeds of two ways to train against each other: Welch's test, its
# interval, and how many seeds a difference of a given size would take.


# %%
def seeds_of(rate, momentum):
    same = (swept.hypers["learning_rate"] == rate) & (
        swept.hypers["momentum"] == momentum
    )
    return swept.final("test/accuracy")[same]


verdict = train.compare(seeds_of(0.03, 0.9), seeds_of(0.3, 0.0))
print(verdict)
print("seeds of each to find half a point:", verdict.seeds_for(0.005))

# %% [markdown]
# The test set is a sample as well. `metrics.bootstrap` keeps resamples of it beside the number, in the
# same pass:

# %%
hyper, state = chosen.member(best)
images = data.images.to_unit({"image": splits["test"]["image"]})["image"]
logits = models.MLP((32, 10)).apply({"params": state.params}, images, train=False)
update = metrics.bootstrap(metrics.Accuracy.from_batch, resamples=500)
print(
    update(logits, splits["test"]["label"], index=np.arange(len(images))).compute()
)

# %% [markdown]
# ## Curves of all members
#
# Lines are means over seeds, bands run from the least to the greatest.

# %% alt="Training and test curves with a band over seeds, for three learning rates"
groups = {
    f"rate {rate:g}": [
        swept.rows(i)
        for i in range(len(swept))
        if swept.hypers["learning_rate"][i] == rate
        and swept.hypers["momentum"][i] > 0
    ]
    for rate in rates
}
plots.compare(groups)

# %% [markdown]
# ## Searching for less
#
# `train.successive_halving` trains all members for few epochs, the better third of them three times as
# long, and so on; `train.population` lets those that fall behind go on from those ahead, at other rates.
# Both choose by validation data and say what a grid would have cost.

# %%
halved = train.successive_halving(
    member,
    train.grid(learning_rate=np.geomspace(0.001, 1.0, 9), momentum=[0.9]),
    splits["train"].take(kept),
    epochs=9,
    batch_size=32,
    held_out={"validation": splits["train"].take(held)},
)
print(halved)
