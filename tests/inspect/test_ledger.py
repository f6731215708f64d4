"""Parameters and operations by module against closed forms, for modules of three libraries."""

import jax
import jax.numpy as jnp
import pytest

from jaxdl import data, inspect, losses, models, objectives
from tests.references import reference

B, T = 2, 5


def by_path(found):
    return {entry.path: entry for entry in found.entries}


def test_a_residual_network_as_published():
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    found = inspect.ledger(models.ResNet50(1000), image)
    total = found.total
    assert total.parameters == 25_557_032  # torchvision's
    assert total.bytes == 4 * total.parameters
    first = by_path(found)[found.entries[0].path]
    assert first.forward == 2 * 112 * 112 * 64 * 7 * 7 * 3
    head = by_path(found)["head"]
    assert (head.parameters, head.forward, head.backward) == (2_049_000, 4_096_000, 8_192_000)
    assert total.forward == resnet50_flops()
    # every product twice more, but for the gradient in the image
    assert total.backward == 2 * total.forward - first.forward


def resnet50_flops():
    """Of 224 x 224 pixels, two a multiplication: He et al. 2016, table 1, stride in the 3 x 3."""
    flops, inner, side = 112 * 112 * 64 * 7 * 7 * 3, 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            before = side if stage == 0 or block else 2 * side
            flops += before**2 * inner * width + side**2 * (9 * width**2 + width * 4 * width)
            if block == 0:
                flops += side**2 * inner * 4 * width  # the shortcut
            inner = 4 * width
        side //= 2
    return 2 * (flops + 2048 * 1000)


def windows(rows, length):
    kinds = {"tokens": jnp.int32, "targets": jnp.int32, "valid": bool}
    batch = {name: jax.ShapeDtypeStruct((rows, length), kind) for name, kind in kinds.items()}
    return {**batch, "mask": jax.ShapeDtypeStruct((rows,), bool)}


def test_a_recurrent_language_model():
    """The medium one of Zaremba et al. 2014: 2 layers of 650 units, one bias a gate."""
    V, H = 10_000, 650
    objective = objectives.language_model(models.language.LSTMMedium(V))
    total = inspect.ledger(objective, windows(B, T)).total
    assert total.parameters == V * H + 2 * 4 * H * (H + H + 1) + H * V + V == 19_775_200
    assert total.forward == B * T * 2 * (2 * 4 * H * 2 * H + H * V)
    assert total.backward == 2 * total.forward


def test_gpt2():
    """Radford et al. 2019, 12 blocks of 768: every product by hand, in shapes alone."""
    V, T, D, blocks = 50_257, 256, 768, 12
    total = inspect.ledger(objectives.language_model(models.GPT2()), windows(B, T)).total
    block = (D * 3 * D + 3 * D) + (D * D + D) + (D * 4 * D + 4 * D) + (4 * D * D + D) + 4 * D
    assert total.parameters == V * D + 1024 * D + blocks * block + 2 * D == 124_439_808
    weights = 3 * D * D + D * D + 2 * 4 * D * D
    attention = 2 * T * D  # scores and their sums, the hidden half of the triangle included
    assert total.forward == B * T * 2 * (blocks * (weights + attention) + D * V)
    assert total.backward == 2 * total.forward


def modules():
    eqx, nnx = reference("equinox"), reference("flax.nnx")

    class Net(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.first = nnx.Linear(4, 3, rngs=rngs)
            self.blocks = nnx.List([nnx.Linear(3, 3, rngs=rngs), nnx.Linear(3, 2, rngs=rngs)])

        def __call__(self, x):
            x = jax.nn.relu(self.first(x))
            for block in self.blocks:
                x = jax.nn.relu(block(x))
            return x

    return {
        "linen": (models.MLP((3, 3, 2)), ["dense1", "dense2", "head"]),
        "nnx": (Net(), ["first", "blocks/0", "blocks/1"]),
        "equinox": (
            eqx.nn.MLP(4, 2, 3, 2, key=jax.random.key(0)),
            ["layers/0", "layers/1", "layers/2"],
        ),
    }


@pytest.mark.parametrize("library", ["linen", "nnx", "equinox"])
def test_modules_of_every_library(library):
    module, paths = modules()[library]
    found = by_path(inspect.ledger(module, jnp.ones((B, 4))))
    assert [path for path in found if found[path].parameters] == paths
    sizes = [(4, 3), (3, 3), (3, 2)]
    assert [found[p].parameters for p in paths] == [m * n + n for m, n in sizes]
    assert [found[p].forward for p in paths] == [2 * B * m * n for m, n in sizes]
    first, *later = [found[p].backward / found[p].forward for p in paths]
    assert (first, later) == (1, [2, 2])


def test_what_the_backward_pass_reads_is_kept():
    def network(params, x):
        h = jnp.sin(x @ params["w"])  # keeps its cosine, and itself for the product
        return h @ params["v"]

    params = {"w": jnp.ones((4, 8)), "v": jnp.ones((8, 2))}
    total = inspect.ledger(network, jnp.ones((B, 4)), params=params).total
    assert total.kept == 2 * B * 8 * 4
    assert "total" in str(inspect.ledger(network, jnp.ones((B, 4)), params=params))


def test_an_objective_counts_its_whole_loss():
    objective = objectives.supervised(models.MLP((3, 2)), losses.softmax_cross_entropy, inputs="x")
    batch = data.host_batch(
        data.Dataset({"x": jnp.ones((B, 4)), "label": jnp.arange(2)}), 0, batch_size=B
    )
    found = by_path(inspect.ledger(objective, batch))
    assert found["dense1"].forward == 2 * B * 4 * 3
    assert found["head"].kept + sum(entry.kept for entry in found.values()) > 0
