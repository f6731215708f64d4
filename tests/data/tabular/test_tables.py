"""Tabular data sets: embedded ones, original files, damaged files, bags of words."""

import os
import pathlib

import numpy as np
import pytest
from sklearn import datasets
from sklearn.feature_extraction.text import CountVectorizer

from jaxdl import data


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "iris", "wine"])
def test_embedded_tables_are_scikit_learns(name):
    splits = data.load(name)
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    np.testing.assert_array_equal(data.tabular.whole(splits)["features"], x.astype(np.float32))
    key = "target" if name == "diabetes" else "label"
    assert abs(len(splits["test"]) - 0.2 * len(y)) < 1
    if key == "label":
        shares = [np.bincount(splits[s]["label"]) / len(splits[s]) for s in ("train", "test")]
        np.testing.assert_allclose(shares[0], shares[1], atol=0.02)


def test_original_files(tmp_path):
    (tmp_path / "airfoil_self_noise.dat").write_text("800\t0\t0.3\t71\t0.002\t126\r\n" * 10)
    splits = data.load("airfoil", tmp_path)
    assert splits["train"]["features"].shape == (8, 5)
    assert splits["test"]["target"].tolist() == [126, 126]
    (tmp_path / "gender_classification_v7.csv").write_text("long_hair,Male\n" + "1,0\n0,1\n" * 5)
    faces = data.load("face_attributes", tmp_path)["train"]
    np.testing.assert_array_equal(faces["features"][:, 0], 1 - faces["label"])
    (tmp_path / "SMSSpamCollection").write_text("ham\thi\nspam\twin £\n" * 5, encoding="utf-8")
    sms = data.load("sms_spam", tmp_path)["train"]
    assert set(zip(sms["text"], sms["label"], strict=True)) == {("hi", 0), ("win £", 1)}
    (tmp_path / "train.csv").write_text("Id,Alley,LotArea,SalePrice\n" + "1,NA,5,100\n" * 5)
    houses = data.load("house_prices", tmp_path)["train"]
    assert set(houses.columns) == {"Alley", "LotArea", "SalePrice", "row"}
    row = "  1.0e+00" + "  0.5" * 140 + "\n"
    (tmp_path / "ECG5000_TRAIN.txt").write_text(row * 5)
    beats = data.load("ecg5000", tmp_path)
    assert beats["train"]["signal"].shape == (4, 140, 1)
    assert (beats["train"]["label"] == 0).all()


def test_damaged_files(tmp_path):
    with pytest.raises(data.DataError, match=r"expected one file airfoil.*archive\.ics\.uci\.edu"):
        data.load("airfoil", tmp_path)
    (tmp_path / "airfoil_self_noise.dat").write_text("1 2 3\n4 5\n")
    with pytest.raises(data.DataError, match="number of columns changed"):
        data.load("airfoil", tmp_path)
    (tmp_path / "SMSSpamCollection").write_text("ham\thi\negg\tbye\n")
    with pytest.raises(data.DataError, match="line 2: expected"):
        data.load("sms_spam", tmp_path)
    with pytest.raises(data.DataError, match="name the folder as data_dir"):
        data.load("house_prices")


def test_bag_of_words_agrees_with_scikit_learn():
    texts = ["The cat sat; the CAT slept.", "", "a dog and a cat", "dogs bark"]
    for options, ours in [
        ({}, {}),
        ({"min_df": 2}, {"min_texts": 2}),
        ({"max_features": 1}, {"max_words": 1}),
    ]:
        reference = CountVectorizer(**options)
        want = reference.fit_transform(texts).toarray()
        vocabulary = data.text.fit_vocabulary(texts, **ours)
        assert vocabulary == reference.vocabulary_
        np.testing.assert_array_equal(data.text.bag_of_words(texts, vocabulary), want)
        np.testing.assert_array_equal(
            data.text.bag_of_words(texts, vocabulary, presence=True), np.minimum(want, 1)
        )
    with pytest.raises(ValueError, match="no word occurs in 5 of 4 texts"):
        data.text.fit_vocabulary(texts, min_texts=5)


def test_the_manual_has_both_classes():
    splits = data.load("manual_paragraphs")
    assert len(splits["train"]) > 500
    assert 0.1 < splits["train"]["label"].mean() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, folder, rows",
    [
        ("airfoil", "airfoil", 1503),
        ("face_attributes", "gender", 5001),
        ("sms_spam", "sms-spam", 5574),
        ("house_prices", "house-prices", 1460),
        ("ecg5000", "ecg5000", 400),
    ],
)
def test_published_row_counts(name, folder, rows):
    if "JAXDL_DATA" not in os.environ:
        pytest.skip("JAXDL_DATA names no folder of original data")
    splits = data.load(name, pathlib.Path(os.environ["JAXDL_DATA"]) / folder)
    assert len(splits["train"]) + len(splits["test"]) == rows
