import numpy as np
import pytest
from PIL import Image

from jaxdl import data


def test_cifar_binary_is_read_channel_by_channel(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    files = {"data_batch_1": slice(0, 2), "data_batch_2": slice(2, 4), "test_batch": slice(4, 5)}
    for name, rows in files.items():
        flat = images[rows].transpose(0, 3, 1, 2).reshape(-1, 3072)
        labels = np.arange(10, dtype=np.uint8)[rows, None]
        np.concatenate([labels, flat], 1).tofile(tmp_path / f"{name}.bin")
    splits = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(splits["train"]["image"], images[:4])
    np.testing.assert_array_equal(splits["test"]["label"], [4])
    (tmp_path / "test_batch.bin").write_bytes(b"1234")
    with pytest.raises(data.DataError, match="records of 3073 bytes, found 4 bytes"):
        data.load("cifar10", tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(data.DataError, match="expected data_batch_1"):
        data.load("cifar10", tmp_path)


def test_folders_of_classes(tmp_path):
    for split in ("train", "val"):
        for name, value in {"bees": 200, "ants": 10}.items():
            (tmp_path / split / name).mkdir(parents=True)
            image = Image.fromarray(np.full((30, 40, 3), value, np.uint8))
            image.save(tmp_path / split / name / "a.png")
    splits = data.readers.read_image_folders(tmp_path, size=16)
    assert splits["train"]["image"].shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(splits["test"]["label"], [0, 1])
    np.testing.assert_array_equal(splits["test"]["image"][:, 0, 0, 0], [10, 200])
    (tmp_path / "val" / "ants" / "b.jpg").write_bytes(b"no image")
    with pytest.raises(data.DataError, match="b.jpg: not an image"):
        data.readers.read_image_folders(tmp_path, size=16)
    (tmp_path / "val" / "wasps").mkdir()
    with pytest.raises(data.DataError, match="expected the classes"):
        data.readers.read_image_folders(tmp_path, size=16)
