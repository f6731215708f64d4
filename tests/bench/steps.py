"""Training steps to be planned: `STEPS[name](batch, small)` as a function and shapes, no arrays."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdl import data, losses, models, objectives, recommenders, train, word_vectors
from jaxdl.models.style import vgg19


class Step(NamedTuple):
    """What `bench.plan` takes."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    batch_argnums: tuple[int, ...]


def shape(*sizes: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def ids(*sizes: int) -> jax.ShapeDtypeStruct:
    return shape(*sizes, dtype="int32")


def training(objective: Any, columns: dict, tx: Any, dtype: Any = jnp.bfloat16) -> Step:
    batch = len(next(iter(columns.values())).shape) and next(iter(columns.values())).shape[0]
    columns = {**columns, "mask": shape(batch, dtype="bool")}
    trainer = train.make(objective, tx, compute_dtype=dtype)
    state = jax.eval_shape(lambda batch: trainer.init(jax.random.key(0), batch), columns)
    return Step(trainer.step, (state, columns), (1,))


MOMENTUM = optax.sgd(0.1, momentum=0.9)
ADAMW = optax.adamw(3e-4)


def images(model: Any, batch: int, size: int, classes: int) -> Step:
    columns = {"image": shape(batch, size, size, 3, dtype="uint8"), "label": ids(batch)}
    objective = objectives.supervised(
        model, losses.softmax_cross_entropy, preprocess=data.images.to_unit
    )
    return training(objective, columns, MOMENTUM)


def resnet18(batch: int, small: bool = False) -> Step:
    stem, size = ("small", 32) if small else ("imagenet", 224)
    return images(models.ResNet18(1000, stem=stem), batch, size, 1000)


def resnet50(batch: int, small: bool = False) -> Step:
    return images(models.ResNet50(1000), batch, 64 if small else 224, 1000)


def lstm_lm(batch: int, small: bool = False) -> Step:
    """The large one of Zaremba et al. 2014."""
    T, V, width = (8, 512, 64) if small else (35, 10_000, 1500)
    model = models.LSTMLarge(vocab_size=V).clone(hidden_size=width, embed_dim=width)
    return decoder(model, batch, T, optax.sgd(1.0))


def decoder(model: Any, batch: int, T: int, tx: Any = ADAMW) -> Step:
    columns = {
        "tokens": ids(batch, T), "targets": ids(batch, T), "valid": shape(batch, T, dtype="bool")
    }  # fmt: skip
    return training(objectives.language_model(model), columns, tx)


def gpt2(batch: int, small: bool = False) -> Step:
    """124 million parameters, texts of 1,024 tokens."""
    if small:
        model = models.Transformer(512, context=64, dim=64, num_layers=3, num_heads=4)
        return decoder(model, batch, 64)
    return decoder(models.GPT2(), batch, 1024)


def gpt_1300m(batch: int, small: bool = False) -> Step:
    """1.3 billion parameters, texts of 2,048 tokens; keeps what lies between blocks."""
    if small:
        return gpt2(batch, small)
    return decoder(models.GPT_1300M(remat=True), batch, 2048)


def ssd(batch: int, small: bool = False) -> Step:
    if small:
        model, size = models.TinySSD(10, base=(8, 16), width=16, fold=2), 64
    else:
        model, size = models.SSD300(20), 300
    columns = {
        "image": shape(batch, size, size, 3, dtype="uint8"),
        "boxes": shape(batch, 8, 4),
        "classes": ids(batch, 8),
    }
    objective = objectives.multibox(model, preprocess=data.images.to_unit)
    return training(objective, columns, MOMENTUM)


def word2vec(batch: int, small: bool = False) -> Step:
    """One epoch of skip-gram over `batch` tokens; the text lies on every device."""
    words, width = (1_000, 32) if small else (1_000_000, 300)
    counts = 1 + 1_000_000 // (1 + jnp.arange(words))
    epoch = word_vectors.make_word2vec(counts)
    tables = {"input": shape(words, width), "output": shape(words, width)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    return Step(epoch, (tables, ids(batch), ids(batch), key, shape(), shape()), ())


def known(users: int, items: int, pairs: int) -> recommenders.ItemLists:
    return recommenders.ItemLists(
        ids(users + 1), ids(pairs), num_items=items, longest=max(pairs // users, 1)
    )


def neumf(batch: int, small: bool = False) -> Step:
    """Pairs by gradient descent on whole tables; what users know is an argument."""
    users, items = (1_024, 512) if small else (1_000_000, 100_000)
    model = recommenders.NeuMF(users, items)
    lists = known(users, items, 16 * users)
    columns = {"user": ids(batch), "item": ids(batch), "mask": shape(batch, dtype="bool")}
    trainers = functools.partial(train.make, tx=optax.adam(1e-3))

    def init(lists: Any, columns: Any) -> Any:
        return trainers(recommenders.pairwise(model, lists)).init(jax.random.key(0), columns)

    def step(state: Any, lists: Any, columns: Any) -> Any:
        return trainers(recommenders.pairwise(model, lists)).step(state, columns)

    state = jax.eval_shape(init, lists, columns)
    return Step(step, (state, lists, columns), (2,))


def factorization(batch: int, small: bool = False) -> Step:
    """One epoch of pairwise descent on the rows that a batch touches, in batches of 65,536."""
    users, items, pairs = (1_024, 512, 8_192) if small else (10_000_000, 1_000_000, 100_000_000)
    tables = {"user": shape(users, 65), "item": shape(items, 65), "mean": shape()}

    def epoch(tables: Any, lists: Any) -> Any:
        return recommenders.pairwise_sgd(tables, lists, epochs=1, seed=0, batch_size=batch)

    return Step(epoch, (tables, known(users, items, pairs)), ())


def style(batch: int, small: bool = False) -> Step:
    """A step of Adam on the pixels of `batch` pictures under VGG-19."""
    body, side = vgg19(4 if small else 64), 64 if small else 256
    pictures = shape(batch, side, side, 3)
    variables = jax.eval_shape(lambda x: body.init(jax.random.key(0), x, train=False), pictures)
    targets = jax.eval_shape(
        lambda v, x: objectives.style.targets(body, v, x, x), variables, pictures
    )
    tx = optax.adam(0.03)

    def step(pixels: Any, opt_state: Any, variables: Any, targets: Any) -> Any:
        def loss(pixels: jax.Array) -> jax.Array:
            found = objectives.style.parts(body, variables, pixels, targets)
            return jnp.sum(sum(found.values()))

        value, grads = jax.value_and_grad(loss)(pixels)
        updates, opt_state = tx.update(grads, opt_state)
        return optax.apply_updates(pixels, updates), opt_state, value

    opt_state = jax.eval_shape(tx.init, pictures)
    return Step(step, (pictures, opt_state, variables, targets), (0, 1, 3))


STEPS: dict[str, Callable[..., Step]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "lstm_lm": lstm_lm,
    "gpt2": gpt2,
    "gpt_1300m": gpt_1300m,
    "ssd": ssd,
    "word2vec": word2vec,
    "neumf": neumf,
    "factorization": factorization,
    "style": style,
}
