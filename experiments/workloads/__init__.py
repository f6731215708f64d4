"""The workloads of the benchmark: every kind of program jaxdl has, each built for any batch.

A workload is a function `(batch, precision, devices) -> Work`. Data is random and lies on the
device: what is measured is the program, not the disk.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import (
    data,
    decode,
    losses,
    models,
    nn,
    objectives,
    ops,
    parallel,
    recommenders,
    train,
    word_vectors,
)
from jaxdl.bench import Program, analyze, stepper


@dataclasses.dataclass(frozen=True)
class Work:
    """What is timed: `call()` works through `items` of `unit` by `program`."""

    call: Callable[[], Any]
    program: Program
    items: float
    unit: str = "examples"


@dataclasses.dataclass(frozen=True)
class Workload:
    """A benchmark by name.

    >>> def build(batch, precision, devices):
    ...     x = jnp.ones((batch, 8), precision)
    ...     program = analyze(jnp.sum, x)
    ...     return Work(lambda: program(x), program, items=batch)
    >>> work = Workload(build, batch=4, large=1024, trains=False).build(4, "float32", 1)
    >>> work.call(), work.items
    (Array(32., dtype=float32), 4)

    Attributes:
        build: `(batch, precision, devices) -> Work`.
        batch: size of the quick suite on two CPU cores.
        large: size of the full suite on an accelerator.
        trains: a training step of a network: it runs in bfloat16 and on several devices as well.
    """

    build: Callable[[int, str, int], Work]
    batch: int
    large: int
    trains: bool = True


def _training(
    objective: objectives.Objective, columns: dict[str, np.ndarray], precision: str, devices: int
) -> tuple[Callable[[], Any], Program]:
    """One step of descent with momentum, its state donated, on `devices` devices."""
    compute_dtype = None if precision == "float32" else jnp.dtype(precision)
    trainer = train.make(objective, optax.sgd(0.01, momentum=0.9), compute_dtype=compute_dtype)
    layout = parallel.Layout(parallel.make_mesh(devices=jax.devices()[:devices]))
    layout.check_batch(len(columns["mask"]))
    state = layout.put_state(trainer.init(jax.random.key(0), columns))
    batch, shardings = jax.device_put(columns, layout.batch), (layout.state(state), None)
    program = analyze(trainer.step, state, batch, donate_argnums=0, out_shardings=shardings)
    return stepper(program, state, batch), program


def image_training(model: Any, size: int, channels: int, classes: int = 10) -> Callable[..., Work]:
    """Training of a classifier on images that are stored as bytes.

    >>> work = image_training(models.MLP((10,)), size=8, channels=1)(4, "float32", 1)
    >>> work.items, work.unit, work.program.flops  # twice 2 * 4 * 64 * 10: forward, backward
    (4, 'examples', 10240.0)

    Args:
        model: called as `model.apply(variables, images [B, size, size, channels], train=...)`.
        size: pixels a side.
        channels: of a pixel.
        classes: of the labels, drawn at random.
    Returns: `build(batch, precision, devices) -> Work`.
    """

    def build(batch: int, precision: str, devices: int) -> Work:
        rng = np.random.default_rng(0)
        columns = {
            "image": rng.integers(0, 256, (batch, size, size, channels), np.uint8),
            "label": rng.integers(0, classes, batch),
            "mask": np.ones(batch, bool),
        }
        objective = objectives.supervised(
            model, losses.softmax_cross_entropy, preprocess=data.images.to_unit
        )
        return Work(*_training(objective, columns, precision, devices), batch)

    return build


def language_training(cell: Any, hidden: int, steps: int, vocabulary: int) -> Callable[..., Work]:
    """Training of a language model on windows of random tokens.

    >>> work = language_training(nn.GRUCell(), hidden=4, steps=6, vocabulary=5)(2, "float32", 1)
    >>> work.items, work.unit
    (12, 'tokens')

    Args:
        cell: of `models.LanguageModel`.
        hidden: its width.
        steps: tokens of a window.
        vocabulary: how many words there are.
    Returns: `build(batch, precision, devices) -> Work`.
    """

    def build(batch: int, precision: str, devices: int) -> Work:
        model = models.LanguageModel(vocabulary, cell, hidden_size=hidden)
        tokens = np.random.default_rng(0).integers(0, vocabulary, (batch, steps + 1))
        columns = {
            "tokens": tokens[:, :-1].astype(np.int32),
            "targets": tokens[:, 1:].astype(np.int32),
            "valid": np.ones((batch, steps), bool),
            "mask": np.ones(batch, bool),
        }
        made = _training(objectives.language_model(model), columns, precision, devices)
        return Work(*made, batch * steps, "tokens")

    return build


def _beam(batch: int, precision: str, devices: int) -> Work:
    """Translation of random sentences by beam search: beam 5, 30 steps, 5,000 words."""
    model = models.Seq2Seq(5000, 5000, embed_dim=256, hidden_size=256, attention=None)
    source = jnp.asarray(np.random.default_rng(0).integers(1, 5000, (batch, 10)), jnp.int32)
    params, _ = objectives.as_network(model).init(jax.random.key(0), (source[:1], source[:1]))

    def search(params: Any, source: jax.Array) -> Any:
        step, carry = models.seq2seq_step(model, params, source)
        return decode.beam_search(
            step, carry, jnp.zeros(len(source), jnp.int32), 30, beam_size=5, end_id=1
        )

    program = analyze(search, params, source)
    return Work(lambda: program(params, source), program, batch, "sentences")


def _word2vec(batch: int, precision: str, devices: int) -> Work:
    """Skip-gram with 5 negatives over `batch` tokens drawn by Zipf's law, 100 dimensions."""
    words = 10_000
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, words + 1)
    tokens = rng.choice(words, batch, p=share / share.sum()).astype(np.int32)
    sentences = (np.arange(batch) // 20).astype(np.int32)
    counts = np.bincount(tokens, minlength=words) + 1
    epoch = word_vectors.make_word2vec(counts)
    params = word_vectors.word2vec.init(jax.random.key(0), words, 100)
    args = (jnp.asarray(tokens), jnp.asarray(sentences), jax.random.key(1), 0.025, 0.025)
    program = analyze(lambda params, *args: epoch(params, *args), params, *args, donate_argnums=0)
    return Work(stepper(program, params, *args), program, batch, "tokens")


def catalog_ranking(users: int, items: int, per_user: int = 100) -> Callable[..., Work]:
    """Ranking metrics of every user over the full catalog, `batch` users at a time.

    Every user knows `per_user` items, and one more is to be found.

    >>> build = catalog_ranking(users=4, items=8, per_user=2)
    >>> work = build(batch=4, precision="float32", devices=1)
    >>> work.items, work.unit
    (4, 'users')
    """

    def build(batch: int, precision: str, devices: int) -> Work:
        model, params, known = _factors(users, items, per_user)
        wanted = np.random.default_rng(1).integers(0, items, users)
        relevant = recommenders.ItemLists.of(
            data.Dataset({"user": np.arange(users), "item": wanted}), users, items
        )

        def rank(
            params: Any, relevant: recommenders.ItemLists, known: recommenders.ItemLists
        ) -> Any:
            def score(params: Any, chunk: jax.Array) -> jax.Array:
                return model.apply({"params": params}, chunk, method="catalog")

            everyone = jnp.arange(users)
            return recommenders.rank_catalog(score, params, everyone, relevant, known, chunk=batch)

        program = analyze(rank, params, relevant, known)
        return Work(lambda: program(params, relevant, known), program, users, "users")

    return build


def _bpr(batch: int, precision: str, devices: int) -> Work:
    """One epoch of Bayesian personalized ranking, negatives drawn on the device."""
    _, params, known = _factors(943, 1682, 106)  # as many as MovieLens 100K has
    work = functools.partial(recommenders.pairwise_sgd, epochs=1, seed=0, batch_size=batch)
    program = analyze(work, params, known)
    return Work(lambda: program(params, known), program, len(known.items), "pairs")


def _factors(users: int, items: int, per_user: int) -> tuple[Any, Any, recommenders.ItemLists]:
    """A factorization, its parameters, and random items that each user knows."""
    model = recommenders.MatrixFactorization(users, items, factors=31)
    one = jnp.zeros(1, jnp.int32)
    params, _ = objectives.as_network(model).init(jax.random.key(0), (one, one))
    rng = np.random.default_rng(0)
    chosen = np.stack([rng.choice(items, per_user, replace=False) for _ in range(users)])
    pairs = {"user": np.repeat(np.arange(users), per_user), "item": chosen.reshape(-1)}
    return model, params, recommenders.ItemLists.of(data.Dataset(pairs), users, items)


def _filter(function: Callable[[jax.Array], jax.Array]) -> Callable[..., Work]:
    def build(batch: int, precision: str, devices: int) -> Work:
        images = jax.random.uniform(jax.random.key(0), (batch, 512, 512, 1)).astype(precision)
        program = analyze(function, images)
        return Work(lambda: program(images), program, batch, "images")

    return build


def _matching(batch: int, precision: str, devices: int) -> Work:
    """Anchors of a 64 x 96 canvas assigned to 20 boxes an image, classes and offsets."""
    anchors = ops.anchor_boxes(32, 48, sizes=(0.1, 0.2), ratios=(1.0, 2.0, 0.5))
    rng = np.random.default_rng(0)
    corner, extent = rng.uniform(0, 0.7, (batch, 20, 2)), rng.uniform(0.05, 0.3, (batch, 20, 2))
    boxes = jnp.asarray(np.concatenate([corner, corner + extent], -1), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 10, (batch, 20)), jnp.int32)
    program = analyze(ops.anchor_targets, anchors, boxes, labels)
    return Work(lambda: program(anchors, boxes, labels), program, batch, "images")


WORKLOADS: dict[str, Workload] = {
    "linear": Workload(image_training(models.MLP((10,)), 28, 1), 256, 8192),
    "mlp": Workload(image_training(models.MLP((1024, 1024, 10)), 28, 1), 256, 8192),
    "lenet": Workload(image_training(models.LeNet(10), 28, 1), 256, 4096),
    "resnet18": Workload(image_training(models.ResNet18(10, stem="small"), 32, 3), 32, 1024),
    "resnet50": Workload(image_training(models.ResNet50(1000), 224, 3, 1000), 4, 256),
    "gru_lm": Workload(language_training(nn.GRUCell(), 256, 32, 28), 32, 1024),
    "lstm_lm": Workload(language_training(nn.LSTMCell(), 256, 32, 28), 32, 1024),
    "beam": Workload(_beam, 64, 512, trains=False),
    "word2vec": Workload(_word2vec, 200_000, 2_000_000, trains=False),
    "bpr": Workload(_bpr, 512, 4096, trains=False),
    "ranking": Workload(catalog_ranking(943, 1682), 64, 943, trains=False),
    "matching": Workload(_matching, 32, 256, trains=False),
    "gaussian": Workload(_filter(lambda x: ops.gaussian_filter(x, 1.0)), 8, 256, trains=False),
    "median": Workload(_filter(ops.median_filter), 8, 256, trains=False),
    "canny": Workload(_filter(ops.canny), 8, 256, trains=False),
}
"""By name; "quick" leaves out ResNet-50, "full" runs everything."""
