"""The order of the rooms: each imports only the ones before it, and shows exactly `__all__`."""

import ast
import importlib
import inspect
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdl
from jaxdl import losses, optim

ORDER = ["ops", "information", "losses", "metrics", "nn", "models", "optim", "classical", "decode"]
ORDER += ["data", "parallel", "objectives", "train", "inspect", "word_vectors", "recommenders"]
ORDER += ["bench", "plots", "runs", "cli", "new"]
DATA = ["data.images", "data.readers", "data.tabular", "data.text"]
PACKAGE = pathlib.Path(jaxdl.__file__).parent


def rooms_imported(path: pathlib.Path) -> set[str]:
    """Names of the rooms that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdl"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jaxdl.")}
    return found


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_one_way(room):
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else []
    files += (PACKAGE / room).rglob("*.py")
    assert files
    later = set(ORDER[ORDER.index(room) + 1 :]) | {"experiments"}
    for path in files:
        assert not rooms_imported(path) & later, path


def test_every_room_is_in_the_order():
    assert sorted(ORDER) == sorted(jaxdl.__all__)
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {room for room in rooms if not room.startswith("_")} == set(ORDER)


@pytest.mark.parametrize("room", ORDER + DATA)
def test_public_names_are_those_of_all_and_are_documented(room):
    module = importlib.import_module(f"jaxdl.{room}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{room}.{name} has no docstring"


# British forms, with a mark in each so that this list is not found by what looks for them.
BRITISH = """colo~ur gre~y cent~re catalo~gue neighbo~ur behavio~ur favo~ur hono~ur learn~t spel~t
label~led label~ling model~ling cancel~led travel~led licen~ce judge~ment arte~fact analy~se
normali~s initiali~s locali~s standardi~s factori~s minimi~s maximi~s optimi~s equali~s quanti~s
binari~s regulari~s penali~s generali~s vectori~s memori~s recogni~s summari~s organi~s tokeni~s
visuali~s parametri~s lineari~s discreti~s seriali~s synchroni~s finali~s randomi~s"""
BRITISH = re.compile("|".join(BRITISH.replace("~", "").split()), re.IGNORECASE)


def public_names(room: str) -> set[str]:
    """Names of a room, of the parameters of its functions and of the fields of its classes."""
    module = importlib.import_module(f"jaxdl.{room}")
    found = set(module.__all__)
    for value in (getattr(module, name) for name in module.__all__):
        members = [value]
        if inspect.isclass(value):
            found |= {n for n in vars(value) if not n.startswith("_")}
            found |= set(getattr(value, "__annotations__", {}))
            members += [v for n, v in vars(value).items() if inspect.isfunction(v) and n[0] != "_"]
        for member in members:
            if inspect.isfunction(member):
                found |= set(inspect.signature(member).parameters)
    return found


@pytest.mark.parametrize("room", ORDER + DATA)
def test_public_names_are_spelled_the_american_way(room):
    assert {name for name in public_names(room) if BRITISH.search(name)} == set()


def test_files_are_spelled_the_american_way():
    folders = [PACKAGE, PACKAGE.parent / "experiments", PACKAGE.parent / "tests"]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    assert [path for path in paths if BRITISH.search(path.stem)] == []


def test_the_british_list_finds_what_it_is_for():
    for word in ("colo" + "ur", "_initiali" + "sers", "Normali" + "se", "GRE" + "Y"):
        assert BRITISH.search(word), word


@pytest.mark.parametrize("room", ORDER + DATA)
def test_no_docstring_cites_a_note_by_number(room):
    module = importlib.import_module(f"jaxdl.{room}")
    texts = [module.__doc__ or ""]
    texts += [inspect.getdoc(getattr(module, name)) or "" for name in module.__all__]
    assert not [text for text in texts if re.search(r"\bnotes? 00\d", text, re.IGNORECASE)]


# The field's names, by room, and those that they replaced, with a mark in each as above.
NAMES = {
    "bench": "analyze",
    "classical": """fit_logistic fit_ridge fit_lasso fit_elastic_net fit_linear_svm fit_kernel_svm
        fit_ngram fit_perceptron fit_bernoulli_bayes fit_multinomial_bayes train_test_split""",
    "data": "load COLUMNS SOURCES Dataset DatasetDict DatasetInfo",
    "data.tabular": "Scaler Imputer Discretizer OneHotEncoder fit_discretizer fit_imputer",
    "losses": "hard_negative_mining smooth_l1_loss softmax_kl_divergence",
    "metrics": "AUROC ApproximateAUROC",
    "models": "Seq2Seq GRUClassifier BiLSTMClassifier",
    "nn": "he_normal he_uniform xavier_normal xavier_uniform",
    "objectives": "supervised language_model translation multibox regions",
    "ops": """rgb_to_grayscale equalize_hist box_blur rescale_intensity center_crop normalize
        box_cxcywh_to_xyxy box_xyxy_to_cxcywh box_ioa""",
    "optim": "warmup_cosine_decay cosine_decay linear_decay constant_rate",
    "parallel": "psum_objective all_reduce",
    "recommenders": "Interactions pairwise reconstruction",
    "train": "Trainer make fit evaluate load_pretrained",
    "word_vectors": "build_corpus",
}
GONE = """ApproximateROC~AUC ROC~AUC BiLSTM~Reader GRU~Reader MLP64~x25x15x1 Trans~lator
average_~filter box_center_~to_corner box_corner_~to_center box_cover~age fit_~bins fit_~fill
load_~corpus load_~interactions load_~pairs load_~text make_~eval make_stream_~eval merge_~across
stretch_~contrast translation_~step"""
GONE = GONE.replace("~", "").split()
NOT_PUBLIC = """Affine Bins Categories EvalStep Fill Info Method Split Splits Step Work across
adagrad attend cosine elastic_net equalize freeze gray hardest he kernel_svm lasso least_squares
linear_svm logistic make_step ngram perceptron reduce_on_plateau ridge smooth_l1 split transfer
warmup_cosine warmup_linear xavier"""
PRIVATE_WORDS = {"tol~d", "ask~ed", "sai~d", "nobo~dy", "dear~er", "spi~ne"}
PRIVATE_WORDS = {word.replace("~", "") for word in PRIVATE_WORDS}


@pytest.mark.parametrize("room", ORDER + DATA)
def test_names_are_those_of_the_field(room):
    public = set(importlib.import_module(f"jaxdl.{room}").__all__)
    assert set(NAMES.get(room, "").split()) - public == set()
    assert public & {*GONE, *NOT_PUBLIC.split()} == set()


def test_no_file_uses_a_name_that_is_gone():
    root, gone = PACKAGE.parent, re.compile(rf"\b({'|'.join(GONE)})\b")
    paths = [root / "README.md"]
    for folder in (PACKAGE, root / "experiments", root / "tests", root / ".github"):
        paths += [path for path in folder.rglob("*") if path.suffix in (".py", ".md")]
    paths.remove(pathlib.Path(__file__))
    found = {str(path): gone.findall(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def words_of(path: pathlib.Path) -> set[str]:
    """Words of the identifiers of a file and of its strings, docstrings aside."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            found |= set(re.findall("[a-z]+", str(getattr(node, field, None)).lower()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found |= set(re.findall("[a-z]+", node.value.lower()))
    return found


def test_code_and_messages_are_in_plain_words():
    folders = [PACKAGE, PACKAGE.parent / "experiments"]
    found = {path: words_of(path) & PRIVATE_WORDS for f in folders for path in f.rglob("*.py")}
    assert {path.name: words for path, words in found.items() if words} == {}


def test_what_optax_calls_alike_means_the_same():
    """Every name that both export: the same value, or a function of the step."""
    import optax

    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, 5))
    signs = jnp.sign(jnp.asarray(rng.normal(size=(5, 3)), jnp.float32))
    targets = jax.nn.one_hot(labels, 3)
    arguments = {
        "hinge_loss": (scores, signs),
        "huber_loss": (scores, targets),
        "multiclass_hinge_loss": (scores, labels),
        "sigmoid_focal_loss": (scores, targets),
        "softmax_cross_entropy": (scores, targets),
        "squared_error": (scores, targets),
    }
    assert set(losses.__all__) & set(dir(optax.losses)) == set(arguments)
    for name, given in arguments.items():
        want = getattr(optax.losses, name)(*given)
        np.testing.assert_allclose(getattr(losses, name)(*given), want, rtol=1e-5, atol=1e-6)
    assert set(optim.__all__) & set(dir(optax)) == {"Schedule"}
    assert optim.constant_rate(0.5)(3) == optax.constant_schedule(0.5)(3)
