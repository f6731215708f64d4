"""Scaling over the eight CPU devices of the tests."""

import pytest

from experiments import scaling
from jaxdl import cli, runs
from tests.figures import ink


def test_smoke_measures_every_count_of_devices(tmp_path):
    numbers = scaling.main(scaling.Config(smoke=True, shard_above=1000, out=tmp_path / "run"))
    assert numbers["devices"] == 8
    assert 0 < numbers["strong_efficiency"] < 2
    rows = runs.read_metrics(tmp_path / "run")
    assert [row["devices"] for row in rows] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert rows[0]["strong/efficiency"] == rows[1]["weak/efficiency"] == 1
    assert ink(tmp_path / "run" / "scaling.png") > 0.03


def test_a_batch_that_does_not_split_is_named(tmp_path, capsys):
    options = ["--batch-size", "12", "--repeats", "1", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit):
        cli.run(scaling.main, scaling.Config, args=options)
    assert capsys.readouterr().err == "error: batch_size=12 does not split over 8 devices\n"
