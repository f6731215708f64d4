"""The page of a run: what it shows, that it escapes what runs say, that a browser opens it."""

import dataclasses
import html
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxdl import runs

HOSTILE = '</td><script>document.title="taken"</script>'


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    learning_rate: float = 0.1
    remark: str = "none"
    out: pathlib.Path | None = None


def record(folder, *, metric="test/loss", axis="epoch", finish=True, **options) -> runs.Record:
    with runs.open(Config(out=folder, **options), name="try", out=folder, quiet=True) as run:
        for step in (1, 2, 3):
            run.write(step, {axis: step, metric: 1 / step, "time/train": 0.5})
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([0, 1])
        run.figure("weights_learned", figure)
        if finish:
            run.finish({metric: 0.3333})
    return runs.read(folder)


def test_a_page_tells_options_numbers_curves_figures_and_environment(tmp_path):
    page = runs.page([record(tmp_path / "first", learning_rate=0.125)])
    for outputs in (
        "learning_rate",
        "0.125",
        "0.3333",
        "Weights learned",
        "packages jax",
        "3 rows",
    ):
        assert outputs in page
    assert page.count("data:image/svg+xml;base64,") == 1
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing is fetched


def test_several_runs_stand_side_by_side_and_what_differs_is_marked(tmp_path):
    records = [record(tmp_path / name, seed=k) for k, name in enumerate(("a", "b", "c"))]
    page = runs.page(records)
    assert "3 runs" in page
    assert "<th>a</th><th>b</th><th>c</th>" in page
    assert '<tr class="differs"><th>seed</th><td>0</td><td>1</td><td>2</td></tr>' in page
    assert "<tr><th>learning_rate</th>" in page
    assert page.count("data:image/png;base64,") == 3


def test_what_a_run_says_is_escaped(tmp_path):
    hostile = record(tmp_path / "<b>bold", remark=HOSTILE, metric="test/$x$ $\\bad{$ <i>")
    page = runs.page([hostile])
    assert HOSTILE in html.unescape(page)
    assert "&lt;b&gt;bold" in page
    assert "<script" not in page
    assert "<i>" not in page


def test_what_is_missing_is_left_out(tmp_path):
    whole = record(tmp_path / "whole", axis="tokens")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text('{"experiment": "try"}')
    page = runs.page([runs.read(bare)])
    assert "did not finish" in page
    assert "data:" not in page.replace("img-src data:", "")
    both = runs.page([whole, runs.read(bare)])
    assert "<th>learning_rate</th><td>0.1</td><td>-</td>" in both
    assert both.count("data:image/png;base64,") == 1
    with pytest.raises(ValueError, match="at least one run"):
        runs.page([])


def test_the_command_writes_the_page_or_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        record(tmp_path / name)
    runs.main(["page", "a"])
    runs.main(["page", "a", "b"])
    runs.main(["page", "a", "b", "--out", "named.html"])
    for path in ("a/page.html", "page.html", "named.html"):
        assert (tmp_path / path).read_text().startswith("<!DOCTYPE html>")
    capsys.readouterr()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    for wrong, outputs in (
        (["page", "c"], "c is not a run folder: it has no config.json"),
        (["page", "broken"], "broken/config.json is not JSON"),
        (["page"], "name one or more"),
        (["page", "a", "--out", "b"], "Is a directory"),
    ):
        with pytest.raises(SystemExit) as exit_:
            runs.main(wrong)
        assert exit_.value.code == 2
        assert outputs in capsys.readouterr().err


def test_a_browser_opens_it(tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no browser on the path")
    image = pytest.importorskip("PIL.Image")
    records = [record(tmp_path / "a", seed=1), record(tmp_path / "b", remark=HOSTILE)]
    path = tmp_path / "page.html"
    path.write_text(runs.page(records), encoding="utf-8")
    screenshot = tmp_path / "page.png"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,1400"]
    command += [f"--user-data-dir={tmp_path / 'profile'}"]
    open_page = [*command, "--dump-dom", path.as_uri()]
    dom = subprocess.run(open_page, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "<title>try</title>" in dom  # no script of the run's was executed
    shoot = [*command, f"--screenshot={screenshot}", path.as_uri()]
    subprocess.run(shoot, capture_output=True, timeout=60, check=True)
    with image.open(screenshot) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    assert pixels.shape == (1400, 900, 3)
    blue = (abs(pixels.astype(int) - (31, 119, 180)).max(axis=-1) < 8).sum()  # Matplotlib's C0
    assert blue > 100, "the curves or figures are not shown"
