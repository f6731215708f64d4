"""Plans: what the compiled text says, against closed forms, and what the user is told."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from jaxdl import bench, losses, models, objectives, parallel, train
from jaxdl.bench._collectives import collectives
from jaxdl.bench._hlo import Module
from jaxdl.bench._kernels import computed
from jaxdl.bench._memory import held_at_peak, traffic

needs_gpu_compiler = pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is None
    or importlib.util.find_spec("jax_plugins.xla_cuda12") is None,
    reason="no CUDA compiler: pip install 'jaxdl[plan-gpu]'",
)
needs_tpu_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="no TPU compiler: pip install 'jaxdl[plan-tpu]'",
)
TARGETS = [
    "cpu-8",
    pytest.param("h100-8", marks=needs_gpu_compiler),
    pytest.param("v5e-8", marks=needs_tpu_compiler),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDL_CACHE", str(tmp_path))
    return tmp_path


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


def descend(weights, x):
    """A network of two layers and its gradient step."""

    def loss(weights):
        return jnp.mean(jax.nn.relu(x @ weights[0]) @ weights[1])

    value, grads = jax.value_and_grad(loss)(weights)
    return jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads), value


def mlp_step(batch, dtype=None):
    model = models.MLP((32, 10))
    tx = optax.adam(1e-3)
    objective = objectives.supervised(model, losses.softmax_cross_entropy)
    trainer = train.make(objective, tx, compute_dtype=dtype)

    columns = {
        "image": shape(batch, 8, 8, 1),
        "label": shape(batch, dtype="int32"),
        "mask": shape(batch, dtype="bool"),
    }
    state = jax.eval_shape(lambda batch: trainer.init(jax.random.key(0), batch), columns)
    return trainer.step, state, columns


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_sharded_by_its_batch_costs_what_it_must(target):
    weights = [shape(64, 128), shape(128, 16)]
    made = bench.plan(descend, weights, shape(32, 64), target=target)
    # three products a layer, but for the gradient in x; one eighth of them
    assert made.flops == 2 * 32 / 8 * (64 * 128 * 2 + 128 * 16 * 3)
    assert made.executed_flops == made.flops
    sent = {one.kind: one for one in made.collectives}
    assert set(sent) == {"all-reduce"}
    assert {one.axis for one in made.collectives} == {"data"}
    values = 64 * 128 + 128 * 16
    assert 4 * values <= sum(one.bytes * one.times for one in made.collectives) <= 4.6 * values
    assert made.memory["parameters"] == 4 * values
    assert made.memory["batch"] == 4 * 4 * 64
    assert sum(made.memory.values()) == pytest.approx(made.peak_bytes)
    assert made.fits
    assert not made.message


@pytest.mark.parametrize("target", TARGETS)
def test_a_loop_counts_as_often_as_it_runs(target):
    def rolled(w, x):
        def body(h, _):
            return jnp.tanh(h @ w), None

        return jax.lax.scan(body, x, length=7)[0]

    made = bench.plan(rolled, shape(256, 256), shape(1024, 256), target=target)
    assert made.flops == made.executed_flops == 7 * 2 * 128 * 256 * 256
    assert made.unknown_loops == 0


def test_loops_in_the_program_that_count_to_a_number():
    def counted(x):
        return jax.lax.while_loop(lambda s: s[0] < 9, lambda s: (s[0] + 1, s[1] @ s[1]), (2, x))

    def open_ended(x):
        return jax.lax.while_loop(lambda s: s.sum() < 9, lambda s: s @ s, x)

    x = jnp.ones((4, 4))
    assert bench.count_flops(counted, x) == 7 * 2 * 4**3
    assert bench.count_flops(open_ended, x) == 2 * 4**3


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_convolution_and_both_its_gradients_cost_the_same(strides, padding):
    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (strides, strides), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, kernel = jnp.ones((2, 14, 14, 3)), jnp.ones((5, 5, 3, 4))
    out = jax.eval_shape(conv, x, kernel).shape
    forward = 2 * np.prod(out) * 5 * 5 * 3
    assert bench.count_flops(conv, x, kernel) == forward
    for axis in (0, 1):
        _, pull = jax.vjp(conv, x, kernel)
        gradient = bench.count_flops(lambda g, pull=pull, axis=axis: pull(g)[axis], jnp.ones(out))
        assert gradient == pytest.approx(forward)


def test_what_no_result_needs_is_not_counted():
    assert bench.count_flops(lambda x: (x @ x @ x, x + 1)[1], jnp.ones((3, 3))) == 0
    recomputed = jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(jnp.sin(x @ x)))))
    assert bench.count_flops(recomputed, jnp.ones((3, 3))) == 3 * 2 * 3**3


def test_a_sharded_map_is_counted_for_each_device():
    mesh = parallel.make_mesh(devices=jax.devices()[:4])
    mapped = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    assert bench.count_flops(mapped, jnp.ones((16, 8))) == 4 * 2 * 4 * 4 * 8
    mesh, axes = parallel.make_mesh(data=4, model=2), frozenset(["data"])
    mapped = jax.shard_map(
        lambda x: x @ x.T, mesh=mesh, in_specs=P("data"), out_specs=P("data"), axis_names=axes
    )  # along "model" the product is cut, not made again
    assert bench.count_flops(jax.jit(mapped), jnp.ones((16, 8))) == 4 * 2 * 4 * 4 * 8


def test_a_state_is_split_into_its_parts():
    step, state, columns = mlp_step(16)
    made = bench.plan(step, state, columns, target="cpu")
    values = 64 * 32 + 32 + 32 * 10 + 10
    assert made.memory["parameters"] == 4 * values
    assert made.memory["optimizer"] == 2 * 4 * values + 4
    assert made.memory["batch"] == 16 * (64 * 4 + 4 + 1)
    assert made.bound == "?"
    assert np.isnan(made.seconds)


def test_the_optimizer_of_another_library_is_found():
    tx = optax.adamw(1e-3)

    def step(params, opt_state, x):
        grads = jax.grad(lambda w: jnp.mean((x @ w) ** 2))(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    weights = shape(8, 4)
    made = bench.plan(
        jax.jit(step, donate_argnums=(0, 1)), weights, jax.eval_shape(tx.init, weights),
        shape(16, 8), target="cpu",
    )  # fmt: skip
    assert made.memory["parameters"] == 8 * 4 * 4
    assert made.memory["optimizer"] == 2 * 8 * 4 * 4 + 4


def test_a_step_of_nnx_is_planned_by_the_same_call():
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Linear(64, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)

        def __call__(self, x):
            return self.b(nnx.relu(self.a(x)))

    graph, params = nnx.split(nnx.eval_shape(lambda: Net(nnx.Rngs(0))), nnx.Param)
    tx = optax.adam(1e-3)

    def step(params, opt_state, x, y):
        def loss(params):
            logits = nnx.merge(graph, params)(x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        grads = jax.grad(loss)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    batch = shape(256, 64), shape(256, dtype="int32")
    opt_state = jax.eval_shape(tx.init, params)
    made = bench.plan(step, params, opt_state, *batch, target="cpu-8", batch_argnums=(2, 3))
    values = 64 * 128 + 128 + 128 * 10 + 10
    assert made.memory["parameters"] == 4 * values
    assert made.memory["optimizer"] == 2 * 4 * values + 4
    assert made.memory["batch"] == 256 / 8 * (64 + 1) * 4
    assert made.flops == 2 * 256 / 8 * (64 * 128 * 2 + 128 * 10 * 3)


def test_layouts_are_taken_from_any_mesh_of_as_many_devices():
    of_eight = jax.sharding.AbstractMesh((1, 4, 2), ("replica", "data", "model"))
    layout = parallel.Layout(of_eight, shard_above=1000)
    weights = [shape(64, 128), shape(128, 16)]
    made = bench.plan(descend, weights, shape(32, 64), target="cpu-8", layout=layout)
    assert made.mesh == {"replica": 1, "data": 4, "model": 2}
    assert made.memory["parameters"] == 4 * (64 * 128 + 128 * 16) / 8
    assert {one.kind for one in made.collectives} >= {"all-gather"}
    with pytest.raises(ValueError, match=r"1 x 4 x 2, target 'cpu-4' has 4 devices"):
        bench.plan(descend, weights, shape(32, 64), target="cpu-4", layout=layout)


def test_a_plan_is_kept_and_read_again(own_cache):
    weights = [shape(64, 128), shape(128, 16)]
    first = bench.plan(descend, weights, shape(32, 64), target="cpu-8")
    again = bench.plan(descend, weights, shape(32, 64), target="cpu-8")
    assert (first.cached, again.cached) == (False, True)
    assert again.collectives == first.collectives
    assert again.memory == first.memory
    assert not bench.plan(descend, weights, shape(64, 64), target="cpu-8").cached
    for path in (own_cache / "plans").iterdir():
        path.write_text("{")
    assert not bench.plan(descend, weights, shape(32, 64), target="cpu-8").cached


def test_a_plan_survives_json():
    step, state, columns = mlp_step(16)
    made = bench.plan(step, state, columns, target="cpu-2")
    back = bench.Plan.from_json(json.loads(json.dumps(made.to_json())))
    assert back.to_json() == made.to_json()
    assert back.collectives == made.collectives


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v9-4", "v4, v5e, v5p, v6e or 7x"),
        ("h100-0", "at least one device"),
        ("v5e-3", "slices of 1, 2, 4, 8"),
        ("h100:2x2", "no topology"),
        ("v5e-4x4", "colon"),
        ("", "unknown"),
        ("cpu-4000", "xla_force_host_platform_device_count"),
    ],
)
def test_targets_that_are_none(name, message):
    with pytest.raises(ValueError, match=message):
        bench.plan(jnp.sin, shape(4), target=name)


@pytest.mark.parametrize("name", ["v5e-8", "h100-8"])
def test_a_compiler_that_is_not_installed(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs .* compiler: pip install 'jaxdl\[plan-"):
        bench.plan(jnp.sin, shape(8), target=name)


@needs_tpu_compiler
def test_a_topology_that_the_compiler_refuses():
    with pytest.raises(ValueError, match=r"refuses target 'v5e:3x5'.*not divisible"):
        bench.plan(jnp.sin, shape(8), target="v5e:3x5")


def test_a_compiler_that_another_process_holds(monkeypatch):
    from jax.experimental import topologies

    def held(**arguments):
        raise RuntimeError("ABORTED: The TPU is already in use by process with pid 7.")

    monkeypatch.setattr(topologies, "get_topology_desc", held)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ValueError, match=r"libtpu is held by another process.*pid 7"):
        bench.plan(jnp.sin, shape(8), target="v5e-8")


def test_a_batch_that_does_not_split():
    with pytest.raises(ValueError, match=r"axis 0 of argument 1 has 30 entries.*over 8 devices"):
        bench.plan(descend, [shape(64, 128), shape(128, 16)], shape(30, 64), target="cpu-8")


def test_a_function_that_places_arrays_itself():
    mesh = parallel.make_mesh(devices=jax.devices()[:8])
    here = jax.sharding.NamedSharding(mesh, P("data"))
    jitted = jax.jit(jnp.sin, in_shardings=here)
    with pytest.raises(ValueError, match="places arrays in its own way"):
        bench.plan(jitted, shape(8, 2), target="cpu-8")
    given = jax.ShapeDtypeStruct((8, 2), "float32", sharding=here)
    assert bench.plan(jitted, given, target="cpu-8").memory["parameters"] == 4 * 2


@pytest.mark.parametrize("target", TARGETS)
def test_compiling_again_does_not_ask_the_cache_of_programs(target):
    """JAX keeps programs for devices that are not there on disk and cannot read them back."""
    for _ in range(2):
        made = bench.plan(descend, [shape(64, 128), shape(128, 16)], shape(32, 64), target=target,
                          cache=False)  # fmt: skip
    assert not made.cached


def test_the_number_format_is_that_of_the_chip():
    from jaxdl.bench._kernels import number_format

    assert number_format("float32", "default", "tpu") == "bfloat16"
    assert number_format("float32", "high", "tpu") == "bfloat16_3x"
    assert number_format("float32", "highest", "tpu") == "float32"
    assert number_format("float32", "default", "gpu") == "tf32"
    assert number_format("float32", "highest", "gpu") == "float32"
    assert number_format("bfloat16", "highest", "gpu") == "bfloat16"
    assert number_format("float32", "dot_bf16_bf16_f32_x3", "gpu") == "bfloat16_3x"
    assert number_format("float32", "default", "cpu") == "float32"


TEXT = """HloModule step, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias) }, x

%body (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %p = (s32[], f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %h = f32[8,4]{1,0} get-tuple-element(%p), index=1
  %sum = f32[8,4]{1,0} all-reduce(%h), replica_groups=GROUPS, to_apply=%add, MADE
  ROOT %t = (s32[], f32[8,4]{1,0}) tuple(%i, %sum)
}

%condition (q: (s32[], f32[8,4])) -> pred[] {
  %q = (s32[], f32[8,4]{1,0}) parameter(0)
  %limit = s32[]{:T(128)} constant(5)
  %j = s32[] get-tuple-element(%q), index=0
  ROOT %less = pred[] compare(%j, %limit), direction=LT
}

ENTRY %main (a: f32[8,4]) -> f32[8,4] {
  %a = f32[8,4]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %begin = (s32[], f32[8,4]{1,0}) tuple(%zero, %a)
  %loop = (s32[], f32[8,4]{1,0}) while(%begin), condition=%condition, body=%body
  ROOT %out = f32[8,4]{1,0} get-tuple-element(%loop), index=1
}
""".replace("MADE", 'metadata={op_name="jit(step)/jvp(Net)/layer/psum"}')


@pytest.mark.parametrize(
    ("groups", "axis", "devices"),
    [
        ("{{0,1},{2,3},{4,5},{6,7}}", "model", 2),
        ("{{0,2,4,6},{1,3,5,7}}", "data", 4),
        ("{}", "data+model", 8),
        ("[4,2]<=[8]", "model", 2),
        ("[2,4]<=[4,2]T(1,0)", "data", 4),
        ("[1,8]<=[8]", "data+model", 8),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", "data", 4),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_1'}", "model", 2),
        ("mesh['axis_0'=8] {'axis_0':(1)4}", "data", 4),
    ],
)
def test_groups_of_every_notation_are_traced_to_their_axis(groups, axis, devices):
    module = Module.parse(TEXT.replace("GROUPS", groups))
    (found,) = collectives(module, {"replica": 1, "data": 4, "model": 2}, hosts=1)
    assert (found.axis, found.devices, found.times) == (axis, devices, 5)
    assert found.bytes == 8 * 4 * 4
    assert found.scope == "Net/layer"
    assert found.sent_bytes == pytest.approx(5 * 2 * (devices - 1) / devices * 128)


def test_groups_that_reach_other_hosts_are_known():
    module = Module.parse(TEXT.replace("GROUPS", "{{0,2,4,6},{1,3,5,7}}"))
    (found,) = collectives(module, {"replica": 1, "data": 4, "model": 2}, hosts=2)
    assert found.spread == 2


def test_rows_that_are_looked_up_are_moved_not_the_table():
    def look_up(table, rows):
        return table[rows]

    compiled = jax.jit(look_up).lower(shape(100_000, 8), shape(16, dtype="int32")).compile()
    module = Module.parse(compiled.as_text())
    assert traffic(module, 0).least < 16 * 8 * 4 * 4


def test_what_is_kept_for_the_backward_pass_is_found():
    def step(w, x):
        def loss(w):
            h = x
            for _ in range(6):
                h = jnp.sin(h @ w)
            return jnp.sum(h)

        return jax.grad(loss)(w)

    compiled = jax.jit(step).lower(shape(32, 32), shape(4096, 32)).compile()
    held = held_at_peak(Module.parse(compiled.as_text()))
    saved = sum(one.bytes for one in held if one.for_backward)
    assert saved >= 5 * 4096 * 32 * 4  # a layer keeps its input at least


def test_the_peak_is_no_less_than_what_is_allocated():
    """On a CPU the compiler's own figure leaves temporaries out."""
    program = bench.analyze(lambda x: jnp.sum(jnp.sin(x @ x) @ x), jnp.ones((256, 256)))
    assert program.peak_bytes >= program.argument_bytes + program.temp_bytes
    assert program.peak_bytes >= program.heap_bytes


@needs_tpu_compiler
def test_a_batch_of_products_counts_each_once_on_a_tpu():
    """Which compiles it as a convolution over dilated entries, most of which are zeros."""

    def scores(q, k):
        return jnp.einsum("btnd,bsnd->bnts", q, k)

    x = shape(16, 128, 4, 64, dtype="bfloat16")
    made = bench.plan(scores, x, x, target="v5e-1", cache=False)
    assert made.executed_flops == made.flops == 2 * 16 * 4 * 128 * 128 * 64


def test_taps_of_a_dilated_convolution_are_those_that_meet_an_entry():
    """Of a batch one, of a gradient over strides half of them; borders of padding meet none."""
    text = """HloModule taps, is_scheduled=true

ENTRY %main (x: bf16[16,12,8,4], y: bf16[16,12,4,8]) -> f32[16,12,8,8] {
  %x = bf16[16,12,8,4]{3,2,1,0} parameter(0)
  %y = bf16[16,12,4,8]{3,2,1,0} parameter(1)
  ROOT %c = f32[16,12,8,8]{3,2,1,0} convolution(%x, %y), WINDOW, dim_labels=01bf_01io->01bf
}
"""
    window = "window={size=16x12 stride=15x11 lhs_dilate=16x12}"
    (one,) = computed(Module.parse(text.replace("WINDOW", window)), "tpu")
    assert one.flops == 2 * 16 * 12 * 8 * 8 * 4
    padded = "window={size=16x12 pad=7_8x0_0 stride=1x11 lhs_dilate=2x12}"
    (one,) = computed(Module.parse(text.replace("WINDOW", padded)), "tpu")
    places = np.arange(16)[:, None] + np.arange(16) - 7
    met = np.sum((places >= 0) & (places <= 30) & (places % 2 == 0))
    assert one.flops == 2 * met * 12 * 8 * 8 * 4


@needs_tpu_compiler
def test_who_waits_for_a_tpu_compiler_is_told_of_what_takes_it_long():
    said = []

    def blur(x, kernel):
        return jax.lax.conv(x, kernel, (1, 1), "SAME")

    for function, args in ((blur, [shape(1, 1, 8, 8), shape(1, 1, 3, 3)]), (jnp.sin, [shape(8)])):
        bench.plan(function, *args, target="v5e-1", batch_argnums=(), progress=said.append)
    slow, quick = (one for one in said if one.startswith("compiling"))
    assert slow.startswith("compiling for v5e-1: 1 convolutions, for which libtpu may take minutes")
    assert quick == "compiling for v5e-1"
