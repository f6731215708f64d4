"""`runs list`, `compare` and `page` over runs of different experiments."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxdl import runs


@dataclasses.dataclass(frozen=True)
class Net:
    depth: int = 3
    widths: tuple[int, ...] = (64, 64)


@dataclasses.dataclass(frozen=True)
class Vision:
    seed: int = 0
    learning_rate: float = 0.1
    net: Net = Net()


Text = dataclasses.make_dataclass(
    "Text",
    [(f"an_option_of_the_language_model_{k}", float, 0.1 * k) for k in range(25)],
    frozen=True,
)


def record(folder, config, name, results, rows=3, axis="epoch"):
    with runs.open(config, name=name, out=folder, quiet=True) as run:
        for step in range(1, rows + 1):
            run.write(step, {axis: step, f"test/{name}": 1 / step, "test/loss": 1 / step})
        run.finish(results)
    return folder


@pytest.fixture
def different(tmp_path):
    many = {f"test/accuracy_of_class_{k}": k / 30 for k in range(30)}
    return [
        record(tmp_path / "vision-a", Vision(), "vision", {"test/loss": 0.5}),
        record(tmp_path / "vision-b", Vision(net=Net(depth=5)), "vision", {"test/loss": 0.4}),
        record(tmp_path / "text-a", Text(), "text", many, rows=1, axis="tokens"),
        record(tmp_path / "text-b", Text(0.7), "text", many, rows=2, axis="tokens"),
    ]


def test_a_run_of_thirty_numbers_is_one_line(different, tmp_path, capsys):
    runs.main(["list", str(tmp_path)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 2 + len(different)  # a heading and a rule
    (line,) = (line for line in lines if "text-a" in line)
    assert line.rstrip().endswith("test/accuracy_of_class_3 0.1  and 26 more")


def test_a_run_that_is_damaged_is_named_and_hides_no_other(different, tmp_path, capsys):
    path = different[0] / "metrics.jsonl"
    first, second, third = path.read_text().splitlines()
    for bad in ("5", "{}", "[1]", second[:-3], second.replace(":", ";"), '{"step": 2, "a": "b"}'):
        path.write_text("\n".join([first, bad, third, ""]))
        sentence = f"error: {path} is damaged: line 2 is no row of numbers\n"
        for command in (["list", str(tmp_path)], ["page", *map(str, different)]):
            with pytest.raises(SystemExit) as ended:
                runs.main(command)
            assert ended.value.code == 2
            captured = capsys.readouterr()
            assert captured.err == sentence
            assert captured.out.count("text-a") == (command[0] == "list")
    for content, outputs in (("[]", "holds list"), ("{", "is not JSON"), ('"x"', "holds str")):
        (different[1] / "config.json").write_text(content)
        with pytest.raises(SystemExit):
            runs.main(["compare", *map(str, different[1:])])
        assert outputs in capsys.readouterr().err


def test_compare_names_each_option_once_and_nested_ones_by_their_path(different, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.main(["compare", *map(str, different)])
    shown = capsys.readouterr().out
    assert "{" not in shown
    assert "net depth" in shown
    names = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert names.count("an_option_of_the_language_model_7") == 1
    assert names.count("learning_rate") == names.count("experiment") == 1


def test_the_legend_of_different_experiments_lies_inside_the_figure(different, tmp_path):
    """Each label once and short, with no text cut off at an edge of the image."""
    out = tmp_path / "figure.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.main(["compare", *map(str, different), "--out", str(out)])
    pixels = np.asarray(Image.open(out).convert("L"))
    edges = [pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]]
    assert all((edge == 255).all() for edge in edges)
    from jaxdl import plots
    from jaxdl.runs import _read

    groups = _read.histories([runs.read(folder) for folder in different])
    assert list(groups) == [
        "vision, net depth 3",
        "vision, net depth 5",
        "text, an_option_of_the_language_model_0 0",
        "text, an_option_of_the_language_model_0 0.7",
    ]
    figure = plots.compare(groups, x="step")
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(groups)
    figure.draw_without_rendering()
    box, whole = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= whole.x1
    assert all(not axes.get_tightbbox().overlaps(box) for axes in figure.axes)


def test_a_label_that_would_be_a_list_of_options_is_the_folders_name(tmp_path):
    from jaxdl.runs import _read

    folders = [
        record(tmp_path / name, Text(*([k] * 25)), "text", {"a": 1.0})
        for k, name in enumerate(("first", "second"))
    ]
    assert list(_read.histories([runs.read(f) for f in folders])) == ["first", "second"]
    seeds = [record(tmp_path / f"s{k}", Vision(seed=k), "vision", {"a": 1.0}) for k in range(3)]
    (rows,) = _read.histories([runs.read(f) for f in seeds]).values()
    assert len(rows) == 3  # one band


def test_a_page_names_each_option_once(different):
    page = runs.page([runs.read(folder) for folder in different])
    assert page.count("<th>net depth</th>") == 1
    assert "&#39;depth&#39;" not in page
    numbers = page[page.index("<h2>Numbers") : page.index("<h2>Curves")]
    assert "learning_rate" not in numbers
    facts = page.index("<th>net depth</th>")
    assert facts < page.index("<th>out</th>") if "<th>out</th>" in page else facts


def test_the_environment_tells_what_changes_a_result(monkeypatch, tmp_path):
    variables = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "LIBTPU_INIT_ARGS": "--xla_tpu_enable_async_collective_fusion=true",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "NCCL_DEBUG": "INFO",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("HF_TOKEN", "hidden")
    import jax

    with jax.default_matmul_precision("highest"):
        folder = record(tmp_path / "a", Vision(), "vision", {})
    environment = json.loads((folder / "environment.json").read_text())
    assert variables.items() <= environment["variables"].items()
    assert environment["settings"]["jax_default_matmul_precision"] == "highest"
    assert environment["settings"]["jax_enable_x64"] is False
    assert environment["settings"]["jax_numpy_rank_promotion"] == "raise"
    assert "hidden" not in json.dumps(environment["variables"])


def test_repeated_runs_are_compared_by_their_seeds(tmp_path, capsys):
    folders = []
    for rate, accuracies in ((0.1, (0.90, 0.92, 0.94)), (0.2, (0.86, 0.88, 0.87))):
        for seed, accuracy in enumerate(accuracies):
            config = dataclasses.make_dataclass("Config", ["learning_rate", "seed"])(rate, seed)
            folder = tmp_path / f"{rate}-{seed}"
            with runs.open(config, name="lenet", out=folder, quiet=True) as run:
                run.finish({"test/accuracy": accuracy})
            folders.append(folder)
    runs.main(["compare", *map(str, folders)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "0.92 +- 0.02 (n = 3)" in shown
    assert "0.05 [0.00845, 0.0916], p 0.032" in shown  # as scipy.stats.ttest_ind has it
    runs.main(["compare", str(folders[0]), str(folders[3])])
    assert "+-" not in capsys.readouterr().out
