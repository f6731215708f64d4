"""Data sets from builders, from folders and over HTTP; damaged files are named."""

import dataclasses
import functools
import gzip
import http.server
import struct
import threading

import numpy as np
import pytest

from jaxdl import data
from jaxdl.data import _builders
from tests.references import reference

sklearn_datasets = reference("sklearn.datasets")


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("train", 12), ("t10k", 5)):
        images = idx(rng.integers(0, 256, (n, 28, 28)))
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(rng.integers(0, 10, n)))
    return tmp_path


def test_digits_are_scikit_learns_and_every_class_is_held_out_alike():
    splits = data.load("digits")
    bunch = sklearn_datasets.load_digits()
    images = np.concatenate([splits["train"]["image"], splits["test"]["image"]])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    ours = sorted(map(bytes, images[..., 0].reshape(len(images), -1)))
    theirs = sorted(map(bytes, np.rint(bunch.data * 255 / 16).astype(np.uint8)))
    assert ours == theirs
    assert np.bincount(splits["test"]["label"]).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert splits["train"].checksum() == data.load("digits")["train"].checksum()


def test_mnist_folder_packed_or_not(folder):
    splits = data.load("mnist", folder)
    assert splits["train"]["image"].shape == (12, 28, 28, 1)
    assert splits["test"]["label"].dtype == np.int32
    assert len(data.load("fashion_mnist", folder, limit=3)["test"]) == 3


def test_readers_take_a_path_as_text(folder):
    read, again = data.readers.read_mnist(str(folder)), data.readers.read_mnist(folder)
    assert read["test"].checksum() == again["test"].checksum()
    labels = data.readers.read_idx(f"{folder}/t10k-labels-idx1-ubyte")
    np.testing.assert_array_equal(labels, read["test"]["label"])


def test_mnist_is_fetched_and_kept(folder, tmp_path, monkeypatch):
    """The download path against a real HTTP server; the second load needs no server."""
    for path in folder.glob("*-ubyte"):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setenv("JAXDL_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mirror = f"http://127.0.0.1:{server.server_port}/"
    make = _builders.prepared(_builders.idx_builder("mnist", mirror, tuple("0123456789")))
    source = dataclasses.replace(data.SOURCES["mnist"], make=make)
    monkeypatch.setitem(data.SOURCES, "mnist", source)
    try:
        fetched = data.load("mnist")
    finally:
        server.shutdown()
        server.server_close()
    np.testing.assert_array_equal(
        fetched["train"]["image"], data.readers.read_mnist(folder)["train"]["image"]
    )
    np.testing.assert_array_equal(fetched["test"]["label"], data.load("mnist")["test"]["label"])


def damage(content: bytes, kind: str) -> bytes:
    return {
        "short header": content[:7],
        "magic": b"\x00\x00\x0d\x03" + content[4:],
        "size": content[:-5],
        "empty": b"",
        "gzip": gzip.compress(content)[:-20],
    }[kind]


@pytest.mark.parametrize(
    "kind, message",
    [
        ("short header", "expected an IDX header of 16 bytes, found 7"),
        ("magic", "magic number 0x0000080R of IDX unsigned bytes, found 0x00000d03"),
        ("size", r"promises 9408 bytes of data, found 9403"),
        ("empty", "at least 4 bytes, found 0"),
        ("gzip", "packed stream is damaged or cut off"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_expected(folder, kind, message):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.decompress(path.read_bytes()), kind))
    with pytest.raises(data.DataError, match=message) as error:
        data.load("mnist", folder)
    assert str(path) in str(error.value)
    assert "can be had from https://" in str(error.value)


def test_files_that_do_not_belong_together(folder):
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4)))
    with pytest.raises(data.DataError, match="expected 5 labels, as .* has, found 4"):
        data.load("mnist", folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte.gz .* found no such file"):
        data.load("mnist", folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([0, 1, 2, 3, 10])))
    with pytest.raises(data.DataError, match="labels from 0 to 9 .*, found 10 in row 4"):
        data.load("mnist", folder)


def test_a_wrong_name_or_folder_is_one_sentence(tmp_path):
    with pytest.raises(data.DataError, match="'nist' .is it mnist.*; known are .*digits"):
        data.load("nist")
    with pytest.raises(data.DataError, match="no such folder"):
        data.load("mnist", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        data.load("digits", limit=0)
    with pytest.raises(KeyError, match="splits \\['test', 'train'\\]"):
        data.load("digits")["validation"]


def test_validation_is_taken_out_of_the_training_set_alone_and_in_proportion():
    plain, parts = data.load("digits"), data.load("digits", validation=0.2)
    both = np.concatenate([parts[name]["image"] for name in ("train", "validation")])
    assert sorted(map(bytes, both)) == sorted(map(bytes, plain["train"]["image"]))
    assert parts["test"].checksum() == plain["test"].checksum()
    share = np.bincount(parts["validation"]["label"]) / np.bincount(plain["train"]["label"])
    np.testing.assert_allclose(share, 0.2, atol=0.005)
    again = data.load("digits", validation=0.2)
    assert again["validation"].checksum() == parts["validation"].checksum()
    assert len(data.load("diabetes", validation=0.25)["validation"]) > 80  # without labels
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match=rf"validation must lie in \(0, 1\), got {share}"):
            data.load("digits", validation=share)
