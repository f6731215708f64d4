"""Searches over plans find what trying everything would find; the command line prints them."""

import importlib
import importlib.util
import json
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxdl import bench, cli, losses, models, objectives, plots, train

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
    pytest.param("v5e-8", marks=[needs_tpu_compiler, pytest.mark.slow]),  # a minute a program
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDL_CACHE", str(tmp_path / "cache"))


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, dtype)


def descend(weights, x):
    def loss(weights):
        return jnp.mean(jax.nn.relu(x @ weights[0]) @ weights[1])

    value, grads = jax.value_and_grad(loss)(weights)
    return jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads), value


def wide(weights, x):
    """A step whose memory is mostly activations: a gigabyte for some thousand examples."""

    def loss(weights):
        h = x
        for _ in range(4):
            h = jnp.sin(jnp.sin(h @ weights))
        return jnp.sum(h)

    return jax.grad(loss)(weights)


@pytest.mark.parametrize("target", TARGETS)
def test_one_more_does_not_fit(target):
    """Exactly at the border the batch fits, one step above it does not."""
    args = (shape(4096, 4096), shape(8, 4096))
    unit = 1 << 16  # coarse: few compilations
    search = bench.largest_batch(wide, *args, target=target, multiple=unit, most=1 << 24)
    assert search.best % unit == 0
    assert search.plans[search.best].fits
    assert not search.plans[search.best + unit].fits
    assert search.plans[search.best + unit].message
    assert str(search.best) in search.why


@pytest.mark.slow
@pytest.mark.parametrize("target", [
    pytest.param("h100-1", marks=needs_gpu_compiler),
    pytest.param("v5e-1", marks=needs_tpu_compiler),
])  # fmt: skip
def test_the_border_of_a_training_step(target):
    """A network with its optimizer: planned anew, one step below fits and one step above not."""
    unit = 1 << 17
    tx = optax.adam(1e-3)
    trainer = train.make(
        objectives.supervised(models.MLP((1024, 1024, 10)), losses.softmax_cross_entropy), tx
    )

    def columns(batch):
        whole = {"label": "int32", "mask": "bool"}
        shapes = {name: jax.ShapeDtypeStruct((batch,), dtype) for name, dtype in whole.items()}
        return {"image": shape(batch, 28, 28), **shapes}

    state = jax.eval_shape(lambda batch: trainer.init(jax.random.key(0), batch), columns(unit))
    search = bench.largest_batch(
        trainer.step, state, columns(unit), target=target, multiple=unit, most=1 << 25
    )
    for batch, fits in ((search.best - unit, True), (search.best + unit, False)):
        made = bench.plan(trainer.step, state, columns(batch), target=target, cache=False)
        assert (made.fits, bool(made.message)) == (fits, not fits)
    assert search.plans[search.best].peak_bytes <= made.capacity_bytes


def test_where_nothing_fits_the_search_says_so(monkeypatch):
    monkeypatch.setattr(bench.Target, "capacity", 1000)
    search = bench.largest_batch(descend, [shape(64, 128), shape(128, 16)], shape(8, 64),
                                 target="cpu")  # fmt: skip
    assert search.best is None
    assert "not even a batch of 1 fits" in search.why


@needs_gpu_compiler  # a CPU's compiler undoes what jax.checkpoint asks for
def test_recomputing_trades_operations_for_memory():
    def make(policy):
        def layer(h, weights):
            return jnp.sin(jnp.sin(h @ weights) @ weights)

        if policy is not None:
            layer = jax.checkpoint(layer, policy=policy)

        def loss(weights, x):
            for _ in range(6):
                x = layer(x, weights)
            return jnp.sum(x)

        return jax.grad(loss)

    policies = {"none": None, "all": jax.checkpoint_policies.nothing_saveable}
    args = (shape(64, 64), shape(8, 64))
    search = bench.remat_search(make, *args, policies=policies, batches=[4096], target="h100-1")
    less, more = search.plans["all", 4096], search.plans["none", 4096]
    assert less.peak_bytes < more.peak_bytes
    assert less.flops > more.flops
    assert search.best == ("none", 4096)


def test_layouts_are_ranked_by_what_they_send():
    args = ([shape(512, 512), shape(512, 512)], shape(16, 512))
    search = bench.layout_search(descend, *args, target="cpu-8", largest_model=2)
    sent = [one.sent_bytes for one in search.plans.values()]
    assert sent == sorted(sent)
    assert next(iter(search.plans)) == search.best
    assert len(search.plans) == 3  # all on data; sharded with model 1 and 2
    with pytest.raises(ValueError, match="do not split"):
        bench.layout_search(descend, args[0], shape(3, 512), target="cpu-8", largest_model=2)


def test_scaling_on_paper_is_weak_and_strong():
    args = ([shape(64, 128), shape(128, 16)], shape(16, 64))
    both = bench.scaling_on_paper(descend, *args, targets=["cpu-1", "cpu-2", "cpu-8"])
    weak, strong = both["weak"], both["strong"]
    assert weak["cpu-8"].flops == weak["cpu-1"].flops == 8 * strong["cpu-8"].flops
    assert weak["cpu-8"].sent_bytes > weak["cpu-1"].sent_bytes == 0
    figure = plots.plan_scaling(both)
    drawn = figure.axes[1].lines[0].get_ydata()
    assert list(drawn) == [plan.sent_bytes / 1e6 for plan in weak.values()]


def test_the_figure_shows_every_kind_in_a_unit_that_suits():
    made = bench.plan(descend, [shape(64, 128), shape(128, 16)], shape(16, 64), target="cpu")
    axes = plots.plans({"cpu": made}).axes[0]
    height = sum(patch.get_height() for patch in axes.patches)
    assert axes.get_ylabel() == "KiB a device"
    assert height == pytest.approx(made.peak_bytes / 2**10)
    assert {text.get_text() for text in axes.get_legend().get_texts()} == set(made.memory)


def test_an_experiment_is_planned_and_nothing_else_is_written(tmp_path, monkeypatch, capsys):
    from experiments import lenet

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.run(lenet.main, lenet.Config, ["--plan", "cpu,cpu-2", "--smoke", "--out", "planned"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "cpu-2: 2 devices (data 2), fits" in printed
    assert "LeNet/conv1" in printed
    written = {path.name for path in (tmp_path / "planned").iterdir()}
    assert written == {"plan.json", "plan.png", "scaling.png"}
    assert {path.name for path in tmp_path.iterdir()} <= {"planned", "cache"}
    content = json.loads((tmp_path / "planned" / "plan.json").read_text())
    plan = bench.Plan.from_json(content["cpu"])
    assert plan.flops == 2 * bench.Plan.from_json(content["cpu-2"]).flops


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--plan", "v9-8"], "target 'v9-8' is unknown"),
        (["--plan", "cpu-8", "--batch-size", "12"], "12 entries, which do not split over 8"),
    ],
)
def test_a_mistake_in_a_plan_is_one_sentence(args, message, capsys):
    from experiments import lenet

    with pytest.raises(SystemExit) as ended:
        cli.run(lenet.main, lenet.Config, [*args, "--smoke"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error:") == 1


def test_a_command_given_again_reads_no_data_and_traces_nothing(tmp_path, monkeypatch, capsys):
    from experiments import mlp_digits

    def printed(out, *options):
        args = ["--plan", "cpu", "--smoke", "--out", str(tmp_path / out), *options]
        with pytest.raises(SystemExit) as ended:
            cli.run(mlp_digits.main, mlp_digits.Config, args)
        return ended.value.code, capsys.readouterr()

    code, first = printed("first")
    assert code == 0
    monkeypatch.setattr(bench, "plan", lambda *args, **options: 1 / 0)
    code, second = printed("second")
    assert code == 0
    assert "(compiled before)" in second.out
    assert second.out.splitlines()[:5] == first.out.splitlines()[:5]
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {path.name for path in (tmp_path / "second").iterdir()}
    with pytest.raises(ZeroDivisionError):  # another option is another plan
        printed("third", "--seed", "7")


LOOPS = {
    "word_vectors": {},
    "fasttext": {},
    "glove": {},
    "recommend": {},
    "recommend neumf": {"model": "neumf"},
    "style_transfer": {"smoke": False, "size": 64, "width": 4},
    "sweep": {},
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_of_their_own_offer_their_step(name, tmp_path):
    offered = []

    def planner(*given):
        offered.append(given)
        raise SystemExit(0)

    module = importlib.import_module(f"experiments.{name.split()[0]}")
    config = module.Config(**{"smoke": True, "out": tmp_path / "run", **LOOPS[name]})
    with train.planning(planner), pytest.raises(SystemExit):
        module.main(config)
    ((step, args, batch_argnums, _),) = offered
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(args))
    assert all(number < len(args) for number in batch_argnums)
    after = jax.eval_shape(step, *args)  # it can be traced, and gives what it takes
    shapes = [leaf.shape for leaf in jax.tree.leaves(args[0])]
    assert [leaf.shape for leaf in jax.tree.leaves(after)][: len(shapes)] == shapes


@pytest.mark.parametrize("name", ["svm", "edges", "ngram"])
def test_what_trains_nothing_says_so_at_once(name, monkeypatch, capsys):
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit):
        cli.run(module.main, module.Config, ["--plan", "cpu", "--smoke"])
    assert "no step to plan" in capsys.readouterr().err


def test_an_experiment_by_name(monkeypatch, tmp_path):
    ran = {}
    monkeypatch.setattr(runpy, "run_module", lambda name, **kwargs: ran.update(name=name))
    monkeypatch.setattr(sys, "argv", ["bench"])
    main = importlib.import_module("jaxdl.bench.__main__").main
    assert main(["plan", "lenet", "--batch-size", "64", "--target", "h100-8"]) == 0
    assert ran["name"] == "experiments.lenet"
    assert sys.argv == ["lenet", "--batch-size", "64", "--plan", "h100-8"]
    assert main(["plan", "no_such_thing", "--target", "cpu"]) == 2


def test_planning_starts_no_backend_but_the_cpu():
    """Chips of the machine at hand, and whoever holds them, are left alone."""
    code = (
        "import jax, sys; from jaxdl import bench; "
        "jax.config.update('jax_platforms', 'cpu'); "
        "bench.plan(lambda x: x + 1, jax.ShapeDtypeStruct((8,), 'float32'), target='cpu'); "
        "from jax.extend import backend; print(sorted(backend.backends()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['cpu']"


def resnet_step(remat):
    net = models.ResNet(10, (2, 2, 2), width=16, stem="small")
    columns = {"image": shape(64, 32, 32, 3), "label": shape(64, dtype="int32")}
    return training_step(objectives.supervised(net, losses.softmax_cross_entropy), columns, remat)


def transformer_step(remat):
    net = models.Transformer(64, context=128, dim=64, num_layers=8, num_heads=4)
    columns = {name: shape(16, 128, dtype="int32") for name in ("tokens", "targets")}
    columns["valid"] = shape(16, 128, dtype="bool")
    return training_step(objectives.language_model(net), columns, remat)


def training_step(objective, columns, remat):
    columns["mask"] = shape(next(iter(columns.values())).shape[0], dtype="bool")
    trainer = train.make(objective, optax.sgd(0.1), compute_dtype=jnp.bfloat16, remat=remat)
    state = jax.eval_shape(lambda batch: trainer.init(jax.random.key(0), batch), columns)
    return trainer.step, state, columns


@needs_gpu_compiler
@pytest.mark.parametrize("step", [resnet_step, transformer_step])
def test_one_word_recomputes_the_blocks_of_every_stack_one_by_one(step):
    """Asks the compiler: at most 0.6 times the peak, for at most 0.35 times more operations."""
    kept, again = (
        bench.plan(*step(remat), target="h100-1", cache=False) for remat in (False, "block")
    )
    assert again.peak_bytes < 0.6 * kept.peak_bytes
    assert kept.flops < again.flops < 1.35 * kept.flops
