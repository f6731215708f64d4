"""Data-parallel steps exchange gradients and statistics, and nothing of the examples.

The compiled program is read, not run: an array that the compiler gathers, or work that every device
repeats, gives the right numbers as well.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import bench, data, losses, models, nn, objectives, parallel, recommenders, train
from jaxdl._rows import by_rows
from tests.bench.steps import STEPS, ids, shape, training

B, T = 16, 6
ADAM = optax.adam(1e-3)


def language(model, batch):
    columns = {"tokens": ids(batch, T), "targets": ids(batch, T)}
    columns["valid"] = shape(batch, T, dtype="bool")
    return training(objectives.language_model(model), columns, ADAM)


def transformer(batch):
    model = models.Transformer(32, context=T, dim=16, num_layers=3, num_heads=2)
    return language(model, batch)


def seq2seq(batch):
    model = models.Seq2Seq(20, 30, embed_dim=8, hidden_size=8)
    objective = objectives.translation(model, bos_id=1)
    return training(objective, {"source": ids(batch, 5), "target": ids(batch, T)}, ADAM)


def supervised(model, inputs, column, labels, batch):
    preprocess = data.images.to_unit if inputs == "image" else None
    objective = objectives.supervised(
        model, losses.softmax_cross_entropy, inputs=inputs, preprocess=preprocess
    )
    return training(objective, {inputs: column(batch), "label": ids(batch, *labels)}, ADAM)


def texts(model):
    return functools.partial(supervised, model, "tokens", lambda batch: ids(batch, T), ())


def pictures(model, side, labels=()):
    columns = functools.partial(shape, dtype="uint8")
    return functools.partial(
        supervised, model, "image", lambda batch: columns(batch, side, side, 3), labels
    )


def autorec(batch):
    objective = recommenders.reconstruction(recommenders.AutoRec(32, hidden=8))
    columns = {"ratings": shape(batch, 32), "observed": shape(batch, 32, dtype="bool")}
    return training(objective, columns, ADAM)


def small(name):
    return functools.partial(STEPS[name], small=True)


def vit():
    return models.ViT(10, patch=4, dim=16, num_layers=2, num_heads=2)


# Steps, and how often one collective may run: once, or as often as there are layers in a loop.
PROBLEMS = {
    "lstm": (small("lstm_lm"), 1),
    "seq2seq": (seq2seq, 1),
    "transformer": (transformer, 3),
    "neumf": (small("neumf"), 1),
}
SLOW = {
    "gru": (texts(models.GRUClassifier(100, embed_dim=8, hidden_size=8)), 1),
    "bilstm": (texts(models.BiLSTMClassifier(100, embed_dim=8, hidden_size=8)), 1),
    "textcnn": (texts(models.TextCNN(100, embed_dim=8)), 1),
    "autorec": (autorec, 1),
    "lenet": (pictures(models.LeNet(10), 28), 1),
    "vit": (pictures(vit(), 16), 2),
    "resnet": (pictures(models.ResNet18(10, stem="small"), 16), 1),
    "ssd": (small("ssd"), 1),
    "style": (small("style"), 1),
}


@pytest.mark.parametrize(
    "name", [*PROBLEMS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_devices_exchange_gradients_and_statistics_alone(name):
    make, layers = (PROBLEMS | SLOW)[name]
    step = make(B)
    plan = functools.partial(bench.plan, step.function, batch_argnums=step.batch_argnums)
    made = plan(*step.args, target="cpu-8", cache=False)
    for one in made.collectives:
        if one.kind == "all-gather":  # of batch norm's statistics; and of boxes, see below
            norm = "/bn" in one.scope or "_bn" in one.scope
            assert norm or (name == "ssd" and one.bytes <= B * 8 * 4 * 4), one
        else:
            assert one.kind == "all-reduce", one
        assert one.times <= layers, one
    # Each device computes its eighth. (Boxes are matched in a loop over images on a CPU.)
    assert made.executed_flops <= 1.001 * made.flops
    assert made.flops > 0


@pytest.mark.parametrize(
    ("make", "layers", "least"),
    [
        pytest.param(transformer, 3, 3 * 6, id="transformer"),
        pytest.param(small("lstm_lm"), 1, 6, id="lstm"),
        pytest.param(SLOW["resnet"][0], 1, 20, id="resnet", marks=pytest.mark.slow),
    ],
)
def test_fully_sharded_layers_gather_their_own_and_scatter_gradients(make, layers, least):
    """No device holds all parameters at once, nor sums gradients of what is another's."""
    step = make(B)
    plan = functools.partial(bench.plan, step.function, batch_argnums=step.batch_argnums)
    mesh = jax.sharding.AbstractMesh((1, 8, 1), ("replica", "data", "model"))
    layout = parallel.Layout(mesh, shard_above=64)
    made = plan(*step.args, layout=layout, target="cpu-8", cache=False)
    gathers = [
        one for one in made.collectives if one.kind == "all-gather" and "bn" not in one.scope
    ]
    scatters = [one for one in made.collectives if one.kind == "reduce-scatter"]
    assert sum(one.times for one in gathers) >= least
    assert sum(one.times for one in scatters) >= least
    assert {one.dtype for one in scatters} == {"f32"}
    largest = max(leaf.size for leaf in jax.tree.leaves(step.args[0].params)) // layers
    for one in made.collectives:
        if one.kind == "all-reduce":  # of biases, scales and sums of metrics
            assert one.bytes <= 4 * 64 * 4, one
        assert one.kind in ("all-gather", "all-reduce", "reduce-scatter"), one
        assert one.bytes <= 4 * largest or layers == 1, one
    assert made.executed_flops <= 1.001 * made.flops


def on_eight(function, *args):
    layout = parallel.Layout(parallel.make_mesh())
    args = jax.device_put(args, layout.copied)
    with layout.known():
        program = jax.jit(function).lower(*args).compile()
    return program(*args)


def test_rows_of_any_tree_along_any_axis():
    """What devices compute of their rows is what one device computes, gradients included."""
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(3, 8, 2)).astype(np.float32), "b": rng.normal(size=(8, 2))}
    x["b"] = x["b"].astype(np.float32)
    weights = {"w": rng.normal(size=(2, 4)).astype(np.float32), "none": None}

    def function(x, weights):
        y = jnp.einsum("tbi,ij->tbj", x["a"] * x["b"][None], weights["w"])
        return y, jnp.sum(y, axis=0)

    def loss(x, weights):
        axis = {"a": 1, "b": 0}
        y, total = by_rows(function, x, weights, axis=axis, out_axis=(1, 0))
        return jnp.sum(y**2) + jnp.sum(total**3)

    want = jax.grad(loss, argnums=(0, 1))(x, weights)
    got = on_eight(jax.grad(loss, argnums=(0, 1)), x, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)


def test_a_row_read_often_counts_every_time_in_half_precision():
    """In bfloat16 a sum of ones ends at 256."""
    layer, ids = nn.Embed(2, 1), np.zeros((8, 128), np.int32)

    def loss(params, ids):
        return jnp.sum(layer.apply({"params": params}, ids).astype(jnp.float32))

    params = {"embedding": jnp.ones((2, 1), jnp.bfloat16)}
    assert jax.grad(loss)(params, ids)["embedding"][:, 0].tolist() == [1024, 0]
    got = on_eight(jax.grad(loss), params, ids)
    assert got["embedding"][:, 0].tolist() == [1024, 0]
    with pytest.raises(ValueError, match="ids must be integers, got float32"):
        layer.apply({"params": params}, ids.astype(jnp.float32))


def test_rows_that_are_constants_of_the_program():
    """A sum's gradient reads nothing else: no argument says which devices the program is for."""
    layer, ids = nn.Embed(3, 2), np.array([0, 1, 1, 1, 0, 0, 1, 1])

    def loss(params):
        return jnp.sum(layer.apply({"params": params}, ids))

    got = on_eight(jax.grad(loss), {"embedding": jnp.ones((3, 2))})
    assert got["embedding"].tolist() == [[3, 3], [5, 5], [0, 0]]


def test_one_example_of_features_alone_is_not_cut():
    params = {"kernel": jnp.ones((8, 2)), "bias": jnp.zeros(2)}
    got = on_eight(lambda x, params: nn.Dense(2).apply({"params": params}, x), jnp.ones(8), params)
    assert got.tolist() == [8, 8]
    assert on_eight(nn.contract_last, jnp.ones(8), params["kernel"]).tolist() == [8, 8]


def test_recurrent_state_carried_over_devices_is_that_of_one():
    """A stateful language model takes the same two steps on one device and on eight."""
    model = models.LanguageModel(11, cell=nn.LSTMCell(), hidden_size=6, num_layers=2, embed_dim=5)
    trainer = train.make(objectives.language_model(model, stateful=True), optax.sgd(0.5))
    tokens = np.random.default_rng(1).integers(0, 11, (8, T + 1))
    columns = {
        "tokens": tokens[:, :-1],
        "targets": tokens[:, 1:],
        "valid": np.ones((8, T), bool),
        "start": np.arange(8) % 2 == 0,
        "mask": np.ones(8, bool),
    }
    columns = jax.tree.map(jnp.asarray, columns)
    first = trainer.init(jax.random.key(0), columns)
    want, _ = jax.jit(lambda s, b: trainer.step(trainer.step(s, b)[0], b))(first, columns)
    layout = parallel.Layout(parallel.make_mesh(), rules=(("carry/*", (None, "data")),))
    state, batch = layout.put_state(first), jax.device_put(columns, layout.batch)
    with layout.known():
        two = jax.jit(lambda s, b: trainer.step(trainer.step(s, b)[0], b)).lower(state, batch)
    program = two.compile()
    assert "all-gather" not in program.as_text()  # what is carried stays where its example is
    got, _ = program(state, batch)
    for one, other in ((got.params, want.params), (got.model_state, want.model_state)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, other)
