"""Table transforms against scikit-learn and pandas; CSV files against pandas."""

import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import impute, preprocessing

from jaxdl import data
from jaxdl.data.readers import _csv

NAN = np.nan
SCALERS = {
    "min_max": (jax.jit(data.tabular.fit_min_max), preprocessing.MinMaxScaler()),
    "standard": (jax.jit(data.tabular.fit_standard), preprocessing.StandardScaler()),
    "robust": (jax.jit(data.tabular.fit_robust), preprocessing.RobustScaler()),
}


def table(seed=0, missing=0.2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 1, 0, 0]
    x[:, 3] = rng.integers(0, 4, 40)
    x[:, 4] = 7.0
    return np.where(rng.random((40, 5)) < missing, NAN, x).astype(np.float32)


@pytest.mark.parametrize("name", SCALERS)
def test_scalers_agree_with_scikit_learn(name):
    """T23: a constant column gives 0, not NaN."""
    fit, reference = SCALERS[name]
    x = table()
    got = fit(x).apply(x)
    np.testing.assert_allclose(got, reference.fit(x).transform(x), rtol=1e-4, atol=1e-5)
    assert (np.asarray(got)[:, 4][~np.isnan(x[:, 4])] == 0).all()


@pytest.mark.parametrize("name", SCALERS)
@hypothesis.given(
    hnp.arrays(
        np.float32,
        (6, 2),
        elements=st.floats(-1000, 1000, width=32).map(lambda v: 0.0 if abs(v) < 1e-6 else v)
        | st.just(NAN),
    )
)
def test_scalers_are_invertible(name, x):
    """Any columns: constant, all missing, outliers; to rounding of the column's greatest value."""
    state = SCALERS[name][0](x)
    z = state.apply(x)
    assert np.array_equal(np.isnan(z), np.isnan(x))
    largest = np.nanmax(np.abs(np.nan_to_num(x)), axis=0, initial=1e-6)
    error = np.abs(np.nan_to_num(np.asarray(state.inverse(z)) - x))
    assert (error <= 2e-6 * largest).all()


def test_edges_of_scalers():
    for fit, _ in SCALERS.values():
        single = np.array([[3.0, -2.0]], np.float32)
        np.testing.assert_array_equal(fit(single).apply(single), 0)
        counts = np.array([[1], [2], [4]])  # integers become floats
        np.testing.assert_allclose(fit(counts).inverse(fit(counts).apply(counts)), counts)
    x = table(missing=0)
    span = data.tabular.fit_min_max(x, low=-1.0, high=3.0).apply(x)[:, :4]
    np.testing.assert_allclose([span.min(0), span.max(0)], [[-1] * 4, [3] * 4], atol=1e-5)
    one = data.tabular.fit_standard(x, ddof=1).apply(x)
    np.testing.assert_allclose(np.asarray(one)[:, :4].std(0, ddof=1), 1, rtol=1e-5)
    few = np.arange(40) < 25
    np.testing.assert_allclose(
        data.tabular.fit_standard(x, few).apply(x),
        data.tabular.fit_standard(x[few]).apply(x),
        atol=1e-5,
    )
    with pytest.raises(ValueError, match="low must be below high"):
        data.tabular.fit_min_max(x, low=1.0, high=1.0)
    with pytest.raises(ValueError, match=r"\[N, D\], got \(3,\)"):
        data.tabular.fit_standard(np.ones(3))
    with pytest.raises(ValueError, match="without rows"):
        data.tabular.fit_standard(np.ones((0, 2)))


@pytest.mark.parametrize("how", ["mean", "median", "mode", "min", "max", 10.0])
def test_filling_agrees_with_scikit_learn_and_pandas(how):
    x = table(1)
    got = data.tabular.fit_imputer(x, how=how).apply(x)
    strategy = {"mode": "most_frequent"}.get(how, how)
    if strategy in ("mean", "median", "most_frequent"):
        want = impute.SimpleImputer(strategy=strategy).fit_transform(x)
    else:
        frame = pd.DataFrame(x)
        want = frame.fillna(how if how == 10.0 else getattr(frame, how)())
    np.testing.assert_allclose(got, want, rtol=1e-5)
    empty = np.full((3, 1), NAN, np.float32)
    assert (
        data.tabular.fit_imputer(empty, how=how).apply(empty) == (10 if how == 10.0 else 0)
    ).all()


def test_a_fill_is_fitted_on_training_rows():
    train, test = np.array([[1.0], [3.0]]), np.array([[NAN], [8.0]])
    np.testing.assert_array_equal(data.tabular.fit_imputer(train).apply(test), [[2], [8]])
    with pytest.raises(ValueError, match="how must be one of"):
        data.tabular.fit_imputer(train, how="average")


def test_forward_and_backward_fill_and_dropping():
    x = table(2, missing=0.5)
    np.testing.assert_array_equal(data.tabular.fill_forward(x), pd.DataFrame(x).ffill())
    np.testing.assert_array_equal(data.tabular.fill_backward(x), pd.DataFrame(x).bfill())
    np.testing.assert_allclose(data.tabular.missing_share(x), np.isnan(x).mean(0))
    np.testing.assert_array_equal(x[data.tabular.complete_rows(x)], pd.DataFrame(x).dropna())


def test_outlier_rules():
    scores = np.array([85, 90, 88, 92, 89, 85, 95, 110, 87, 88, 86], np.float32)[:, None]
    flags = data.tabular.fit_bounds(scores).flag(scores)
    np.testing.assert_array_equal(np.flatnonzero(flags), [7])  # of these exam scores: 110
    x = table(3)
    bounds = data.tabular.fit_bounds(x, rule="sigma", ddof=1)
    mean, std = np.nanmean(x, 0), np.nanstd(x, 0, ddof=1)
    np.testing.assert_allclose(bounds.high, mean + 3 * std, rtol=1e-5)
    for consistent in (True, False):
        bounds = data.tabular.fit_bounds(x, rule="mad", factor=2.0, consistent=consistent)
        scale = 1 / 1.4826 if consistent else 1.0
        mad = stats.median_abs_deviation(x, axis=0, nan_policy="omit", scale=scale)
        np.testing.assert_allclose(bounds.low, np.nanmedian(x, 0) - 2 * mad, rtol=1e-4, atol=1e-5)
    values = np.array([[0.0], [1.0], [2.0], [3.0], [50.0], [NAN]])
    bounds = data.tabular.fit_bounds(values)
    assert bounds.clip(values)[4, 0] == bounds.high[0] < 50
    assert jnp.isnan(bounds.replace_with(values)[4:, 0]).all()
    assert bounds.replace_with(values, -1.0)[4, 0] == -1
    nothing = data.tabular.fit_bounds(np.full((2, 1), NAN))
    assert not nothing.flag(values).any()
    with pytest.raises(ValueError, match='rule must be "iqr"'):
        data.tabular.fit_bounds(x, rule="box")


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_agree_with_scikit_learn_and_pandas(strategy):
    x = table(4, missing=0)[:, :3]
    bins = data.tabular.fit_discretizer(x, count=4, strategy=strategy)
    method = {"quantile_method": "linear"} if strategy == "quantile" else {}
    want = preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy=strategy, **method)
    np.testing.assert_array_equal(bins.apply(x), want.fit_transform(x))
    if strategy == "uniform":
        middles = bins.inverse(bins.apply(x))
        np.testing.assert_allclose(middles, want.inverse_transform(want.transform(x)), rtol=1e-4)
    ages = np.array([[0.5], [18.0], [19.0], [40.0], [56.0], [NAN]])
    cut = data.tabular.Discretizer(jnp.array([[0.0, 18.0, 40.0, 60.0]])).apply(ages, right=True)
    want = pd.cut(ages[:, 0], [0, 18, 40, 60], labels=False)
    np.testing.assert_array_equal(cut[:, 0], np.nan_to_num(want, nan=-1))
    np.testing.assert_array_equal(data.tabular.binarize(ages[:5], 18.0)[:, 0], [0, 0, 1, 1, 1])


def test_categories():
    regions = np.array(["North", "South", "East", "North"])
    state = data.tabular.OneHotEncoder.fit(regions)
    np.testing.assert_array_equal(state.one_hot(regions), pd.get_dummies(regions).astype(float))
    np.testing.assert_array_equal(state.inverse(state.codes(regions)), regions)
    with pytest.raises(ValueError, match="unknown category 'West' in row 1"):
        state.codes(np.array(["East", "West"]))
    lenient = data.tabular.OneHotEncoder.fit(regions, unknown="ignore")
    np.testing.assert_array_equal(lenient.one_hot(np.array(["West"])), [[0, 0, 0]])
    assert data.tabular.OneHotEncoder.fit(np.array([3, 1])).codes(np.array([1, 3])).tolist() == [
        0,
        1,
    ]
    with pytest.raises(ValueError, match="unknown must be"):
        data.tabular.OneHotEncoder.fit(regions, unknown="own")


def test_describe_agrees_with_pandas():
    frame = pd.DataFrame(table(5), columns=list("abcde")).astype(float)
    got = data.tabular.describe(
        {**{c: frame[c].to_numpy() for c in frame}, "text": np.array(["x"] * 40)}
    )
    assert list(got) == list("abcde")
    want = frame.describe()
    for name in frame:
        for statistic in want.index:
            np.testing.assert_allclose(got[name][statistic], want[name][statistic], rtol=1e-9)
        np.testing.assert_allclose(
            got[name]["skew"], frame[name].skew() if name != "e" else 0, rtol=1e-8
        )
        np.testing.assert_allclose(got[name]["missing"], frame[name].isna().mean())
    lines = data.tabular.format_table(got).splitlines()
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    edge = data.tabular.describe({"one": np.array([2.0]), "none": np.array([NAN, NAN])})
    assert np.isnan(edge["one"]["std"])
    assert edge["none"]["missing"] == 1


def test_read_csv_agrees_with_pandas(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b,"c, d",e\n1,2.5,"x ""y""",NA\n-2,NA,"two\nlines",3\n\n')
    got, want = data.readers.read_csv(path), pd.read_csv(path)
    assert list(got.columns) == list(want.columns)
    assert got["a"].dtype == np.int64
    np.testing.assert_array_equal(got["b"], want["b"])
    np.testing.assert_array_equal(got["c, d"], want["c, d"].astype(str))
    np.testing.assert_array_equal(got["e"], want["e"])
    (tmp_path / "bare.tsv").write_text("ham\thello\n")
    bare = data.readers.read_csv(tmp_path / "bare.tsv", delimiter="\t", header=["label", "text"])
    assert bare["text"].tolist() == ["hello"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,2\n3\n", r"t\.csv, line 3: expected 2 values, found 1"),
        ("a,b\n1,2\n3,4,5\n", r"line 3: expected 2 values, found 3"),
        ('a,b\n1,"2\n', r"line 2: unexpected end of data"),
        ("a,b\n", "expected a header line and at least one row"),
        ("", "expected a header line"),
        ("a,a\n1,2\n", "line 1: a column name occurs twice"),
    ],
)
def test_malformed_csv_names_the_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(data.DataError, match=message):
        data.readers.read_csv(path)


def test_csv_that_is_not_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(data.DataError, match="not UTF-8"):
        data.readers.read_csv(path)


@pytest.mark.parametrize("options", [{}, {"interaction_only": True}, {"bias": True}])
def test_polynomial_features_agree_with_scikit_learn(options):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    theirs = {"include_bias": options.get("bias", False)}
    theirs["interaction_only"] = options.get("interaction_only", False)
    for degree in (1, 3):
        want = preprocessing.PolynomialFeatures(degree, **theirs).fit_transform(x)
        got = data.tabular.polynomial_features(x, degree, **options)
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.int16, jnp.uint8, jnp.float16])
def test_products_of_columns_do_not_overflow(dtype):
    largest = min(50_000, int(jnp.iinfo(dtype).max) if jnp.issubdtype(dtype, jnp.integer) else 6e4)
    x = jnp.array([[largest, 2]], dtype)
    got = data.tabular.polynomial_features(x, 2, bias=True)
    a, b = map(float, x[0])
    np.testing.assert_allclose(got[0], [1, a, b, a * a, a * b, b * b], rtol=1e-6)


@pytest.mark.parametrize("center", [100.0, 1e4])
@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("name", ["standard", "min_max", "robust"])
def test_a_narrow_spread_far_from_zero(name, host, center):
    """The mean of 100 +- .01 lies between two numbers of float32, and so do float64 values."""
    x = np.random.default_rng(0).normal(center, 1e-4 * center, (1000, 1))
    x = x if host else x.astype(np.float32)
    fit, scaler = {
        "standard": (data.tabular.fit_standard, preprocessing.StandardScaler()),
        "min_max": (data.tabular.fit_min_max, preprocessing.MinMaxScaler()),
        "robust": (data.tabular.fit_robust, preprocessing.RobustScaler()),
    }[name]
    want = scaler.fit_transform(x.astype(np.float64))
    inputs = x if host else jnp.asarray(x)
    np.testing.assert_allclose(fit(inputs).apply(inputs), want, atol=2e-5)
    if not host:
        np.testing.assert_allclose(jax.jit(lambda x: fit(x).apply(x))(inputs), want, atol=2e-5)
        bounds = data.tabular.fit_bounds(inputs, rule="sigma")
        np.testing.assert_allclose(bounds.high, x.mean() + 3 * x.std(), rtol=2e-7)


CELLS = st.one_of(
    st.text("0123456789+-.eE_ naN", max_size=6),
    st.from_regex(r"[ ]?[+-]?[0-9]{1,9}(\.[0-9]{0,6})?([eE][+-]?[0-9]{1,2})?[ ]?", fullmatch=True),
    st.sampled_from(["inf", "-Infinity", "+INF", "NaN", "NA", " NA", "2020_01", "١٢", "１", "0x1"]),
)


@hypothesis.given(st.lists(CELLS, min_size=1, max_size=4))
@hypothesis.settings(max_examples=300)
@hypothesis.example(["2020_01"])
@hypothesis.example(["1", " 2 ", "+3"])
@hypothesis.example([" a ", "b"])
def test_cells_are_read_as_pandas_reads_them(cells):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.csv"
        path.write_text("a,b\n" + "".join(f'"{cell}",x\n' for cell in cells), encoding="utf-8")
        got = data.readers.read_csv(path)["a"]
        options = {"keep_default_na": False, "na_values": list(_csv.MISSING)}
        want = pd.read_csv(path, **options)["a"]
    if want.dtype.kind in "iuf" and not want.isna().all():
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-14)  # the last bits are Python's, exact
    elif not want.isna().all():
        assert got.tolist() == want.fillna("").tolist()


def test_integers_keep_every_digit(tmp_path):
    for cells, kind in (([2**63 - 1, -(2**63)], "i"), ([2**64 - 1, 0], "u"), ([2**64, 1], "U")):
        (tmp_path / "t.csv").write_text("a\n" + "\n".join(map(str, cells)))
        column = data.readers.read_csv(tmp_path / "t.csv")["a"]
        assert column.dtype.kind == kind
        assert [int(value) for value in column] == cells
