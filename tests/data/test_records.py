"""Records: rows read when they are due give the batches and the training of rows in memory."""

import pickle
import threading

import chex
import jax
import numpy as np
import optax
import pytest
from array_record.python import array_record_data_source, array_record_module

from jaxdl import data, train
from tests.train.problems import blobs, problem


class Rows:
    """The rows of a split one at a time, noting which thread asked for which."""

    def __init__(self, split):
        self.split, self.asked = split, []

    def __len__(self):
        return len(self.split)

    def __getitem__(self, i):
        self.asked.append((threading.current_thread(), i))
        return {name: column[i] for name, column in self.split.columns.items()}


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("seed, start", [(None, 0), (3, 0), (3, 7)])
def test_batches_are_those_of_the_split_in_memory(seed, start):
    split = blobs()
    source = Rows(split)
    options = {"seed": seed, "start": start, "epochs": 2}
    want = list(data.batches(split, 8, **options))
    got = list(data.batches(data.Records(source), 8, **options))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        equal(a, b)
    assert {thread for thread, _ in source.asked} - {threading.main_thread()}  # read ahead


def test_training_is_bit_for_bit_that_of_the_split_in_memory():
    tx = optax.adam(0.03)
    trainer = problem(tx)[0]

    def trained(split, **options):
        state = problem(tx)[1]
        return train.fit(trainer, split, state, epochs=2, batch_size=8, seed=3, **options)

    got, want = trained(data.Records(Rows(blobs()))), trained(blobs(), driver="stream")
    chex.assert_trees_all_equal(got.state.params, want.state.params)
    for split in (blobs(), data.Records(Rows(blobs()))):
        found = train.scalars(train.evaluate(trainer, got.state, split, 16))
        assert found == train.scalars(train.evaluate(trainer, want.state, blobs(), 16))
    with pytest.raises(ValueError, match="streamed, they cannot be resident for 'scan'"):
        trained(data.Records(Rows(blobs())), driver="scan")


def test_files_of_array_record_are_a_source(tmp_path):
    path = str(tmp_path / "rows.array_record")
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for i in range(20):
        writer.write(pickle.dumps({"x": np.full(3, i, np.float32), "label": i % 2}))
    writer.close()
    with array_record_data_source.ArrayRecordDataSource(path) as source:
        records = data.Records(source, pickle.loads)
        assert len(records) == 20
        rows = records.rows([4, 19])
        assert rows["x"].tolist() == [[4, 4, 4], [19, 19, 19]]
        assert rows["label"].tolist() == [0, 1]
        odd = records.take(np.arange(20) % 2 == 1)
        assert len(odd) == 10
        assert odd.take(slice(2, 4)).rows([1])["x"].tolist() == [[7, 7, 7]]
        assert records.checksum() == data.Records(source, pickle.loads).checksum()
        assert records.checksum() != odd.checksum()


def test_examples_of_several_forms_are_named():
    records = data.Records([{"x": np.zeros(2)}, {"x": np.zeros(3)}])
    message = r"example 1 is {'x': 'float64\[3\]'}, example 0 {'x': 'float64\[2\]'}"
    with pytest.raises(ValueError, match=message):
        records.rows([0, 1])


def test_what_goes_wrong_in_a_source_reaches_the_caller():
    def broken(row):
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(data.batches(data.Records(Rows(blobs()), broken), 8))
