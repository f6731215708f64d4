# %% [markdown]
# # Your own data
#
# A split is a set of columns with one leading axis. Whatever gives you NumPy arrays gives you a data
# set.

# %%
import numpy as np

from jaxdl import data

generator = np.random.default_rng(0)
angle = generator.uniform(0, 3 * np.pi, 1000)
label = generator.integers(0, 2, 1000)
spiral = (angle / 10)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
points = np.where(label[:, None] == 1, spiral, -spiral).astype(np.float32)
split = data.Dataset({"x": points, "label": label.astype(np.int32)})
train_split, test_split = split.take(slice(0, 800)), split.take(slice(800, None))
print(len(train_split), len(test_split), split.checksum())

# %% [markdown]
# `inputs` names the column that the model gets. Everything else is as with images:

# %%
import optax

from jaxdl import losses, metrics, models, objectives, plots, train

model = models.MLP((32, 32, 2))
objective = objectives.supervised(
    model,
    losses.softmax_cross_entropy,
    inputs="x",
    metrics={"accuracy": metrics.Accuracy.from_batch},
)
trainer = train.make(objective, optax.adam(1e-2))
result = train.fit(trainer, train_split, epochs=60, batch_size=50)
print(train.scalars(train.evaluate(trainer, result.state, test_split)))

# %% alt="Two interleaved spirals of points, and the region that the network gives to each"
import jax

predict = jax.jit(
    lambda x: model.apply({"params": result.state.params}, x, train=False)
)
plots.regions(
    {
        "test points": (
            lambda x: predict(x).argmax(-1),
            test_split["x"],
            test_split["label"],
        )
    }
)

# %% [markdown]
# ## More than memory holds
#
# `data.Records` takes anything with `len(source)` and `source[i]`: array_record files, a TFDS source, a
# folder. `parse` makes a row of what the source gives; rows are read a few batches ahead in threads.


# %%
class Folder:
    """Stands for files on a disk: item i is made when it is asked for."""

    def __len__(self):
        return len(points)

    def __getitem__(self, i):
        return points[i].tobytes(), int(label[i])


def parse(item):
    raw, number = item
    return {"x": np.frombuffer(raw, np.float32), "label": np.int32(number)}


records = data.Records(Folder(), parse)
again = train.fit(trainer, records.take(slice(0, 800)), epochs=60, batch_size=50)
print("in memory", result.history[-1]["train/loss"])
print("read     ", again.history[-1]["train/loss"])

# %% [markdown]
# Both saw the same batches in the same order, because batch k is a function of the seed and k alone.
# That is also what makes a run resumable, and what lets each of several hosts read its own share:

# %%
read = data.host_batch(records.take(slice(0, 800)), 7, batch_size=50, seed=0)
held = data.host_batch(train_split, 7, batch_size=50, seed=0)
print(
    "batch 7, by itself, is the same:",
    all((read[name] == held[name]).all() for name in held),
)

# %% [markdown]
# ## Files in original formats
#
# [`data.readers`](../reference/data.readers.md) reads IDX, CIFAR, folders of images, VOC, CamVid, CSV,
# reviews, sentence pairs and ratings; [`data.text`](../reference/data.text.md) makes tokens, vocabularies and
# streams; [`data.tabular`](../reference/data.tabular.md) scales, fills and encodes tables.
# `data.load("mnist", "DIR")` reads the files that a data set was published in, and names the files
# that a folder lacks and where to get them:

# %%
try:
    data.load("mnist", "an/empty/folder")
except data.DataError as error:
    print(error)

# %% [markdown]
# `data.SOURCES` is the table of all of them; those marked embedded need neither files nor a network.
# Whatever its kind, a source gives splits of columns: lines of a text, sentences and their
# translations, ratings and the catalog they belong to.

# %%
for name, source in data.SOURCES.items():
    print(
        f"{name:18}{source.kind:14}{(source.embedded and 'embedded') or '':9} {source.size}"
    )
