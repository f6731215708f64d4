"""Rooms that promise exact numbers pin the precision of every product.

A float32 product is otherwise taken in bfloat16 on a TPU and in TF32 on a GPU (T31).
"""

import importlib

import jax
import jax.extend.core as core
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import ops
from tests.precision_calls import CALLS, ON_HOST, WITHOUT_PRODUCTS

FILES = ("_filters", "_boxes", "_kernels", "_roi", "_signal")  # of ops, which also holds networks'
PRODUCTS = ("dot_general", "conv_general_dilated")
HIGHEST = jax.lax.Precision.HIGHEST


def products(jaxpr):
    """Every product of floats in a program and in those it calls."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in PRODUCTS and eqn.outvars[0].aval.dtype.kind not in "iub":
            yield eqn
        for value in jax.tree.leaves(
            list(eqn.params.values()),
            is_leaf=lambda x: isinstance(x, core.ClosedJaxpr | core.Jaxpr),
        ):
            if isinstance(value, core.ClosedJaxpr):
                yield from products(value.jaxpr)
            elif isinstance(value, core.Jaxpr):
                yield from products(value)


def is_pinned(precision):
    return precision in (HIGHEST, (HIGHEST, HIGHEST))


def arrays(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def unpinned(call):
    jaxpr = jax.make_jaxpr(lambda: arrays(call()))().jaxpr
    return [eqn for eqn in products(jaxpr) if not is_pinned(eqn.params["precision"])]


@pytest.mark.parametrize(("room", "name"), [(r, n) for r in CALLS for n in CALLS[r]])
def test_every_product_is_pinned(room, name):
    for call in CALLS[room][name]:
        assert not unpinned(call), f"{room}.{name}"


@pytest.mark.parametrize(("room", "name"), [(r, n) for r in ON_HOST for n in ON_HOST[r]])
def test_every_product_is_pinned_on_the_way_to_the_host(room, name, monkeypatch):
    seen, bind = [], jax.lax.dot_general_p.bind

    def record(*args, **params):
        seen.append(params["precision"])
        return bind(*args, **params)

    monkeypatch.setattr(jax.lax.dot_general_p, "bind", record)
    ON_HOST[room][name]()
    assert seen
    assert all(is_pinned(precision) for precision in seen)


def test_a_product_left_to_the_machine_is_found():
    """In a loop, in a function of its own, in a convolution; integers have none."""
    x = np.ones((4, 4), np.float32)
    looped = lambda: jax.lax.fori_loop(0, 3, lambda _, y: y @ x, jnp.asarray(x))  # noqa: E731
    assert len(unpinned(looped)) == 1
    assert len(unpinned(lambda: jax.jit(jnp.dot)(x, x))) == 1
    assert len(unpinned(lambda: jnp.convolve(x[0], x[0]))) == 1
    assert not unpinned(lambda: jnp.dot(x, x, precision=HIGHEST))
    assert not unpinned(lambda: x.astype(np.int32) @ jnp.ones((4, 4), jnp.int32))


WINGS = ("recommenders", "word_vectors")  # the functions of theirs that are listed


@pytest.mark.parametrize("room", [room for room in CALLS if room not in WINGS])
def test_every_public_name_is_called(room):
    module = importlib.import_module(f"jaxdl.{room}")
    names = set(module.__all__)
    if room == "ops":
        home = {n: getattr(getattr(ops, n), "__module__", "").split(".")[-1] for n in names}
        names = {n for n in names if home[n] in FILES}
    called = set(CALLS[room]) | set(ON_HOST.get(room, ())) | WITHOUT_PRODUCTS[room]
    assert names - called == set()
    assert called - set(module.__all__) <= {"Penalty", "Step"}
