"""Files that somebody damaged, mistyped or made on purpose: read right, or refused in one sentence.

Every reader gets every kind of damage; what is refused raises a ValueError of one line that names
the file, in bounded memory and time. What is merely unusual (line ends, a byte order mark, empty
lines at the end) is read as if it were not.
"""

import gc
import gzip
import io
import os
import pathlib
import pickle
import re
import struct
import tarfile
import time
import zipfile
import zlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from jaxdl import data, models, recommenders, word_vectors
from tests.data.test_archives import SETS, text

MOST_SECONDS = 20.0  # of any one refusal, on a machine that does other things as well
MOST_BYTES = 700 * 2**20  # of memory above what was used before

GLOVE = "the 0.5 1.5 -2.0\ncat 1 2 3\nsat 0 0 1\n"
PAIRS = "Go.\tVa !\nRun!\tCours !\n"
RATINGS = "7\t50\t4\t881250949\n9\t50\t3\t881250950\n"
TABLE = 'rooms,area,city\n2,51.5,Ulm\n3,NA,"Bonn, am Rhein"\n'


def binary(folder):
    vectors = word_vectors.WordVectors(("the", "cat"), np.eye(2, 3, dtype=np.float32))
    vectors.save(folder / "v.bin", "binary")


def mask(folder):
    Image.new("L", (4, 3), 2).save(folder / "mask.png")


def image(folder):
    Image.new("RGB", (4, 3), (1, 2, 3)).save(folder / "image.jpg")


def tensors(folder):
    safetensors.numpy.save_file({"a": np.arange(6.0)}, folder / "w.safetensors")


def columns(found):
    """What was read, as something to compare."""
    if isinstance(found, data.Dataset):
        return {name: np.asarray(column).tolist() for name, column in found.columns.items()}
    if isinstance(found, word_vectors.WordVectors):
        return [*zip(found.words, found.vectors.tolist(), strict=True)]
    if isinstance(found, recommenders.Interactions):
        return columns(found.ratings), found.users.tolist(), found.items.tolist()
    if isinstance(found, Image.Image | np.ndarray):
        return np.asarray(found).tolist()
    if hasattr(found, "items"):
        return {name: columns(part) for name, part in found.items()}
    return found


def ratings(folder):
    return recommenders.Interactions.from_splits(data.load("movielens", folder))


def vectors(folder):
    return word_vectors.WordVectors.load(folder / "v.txt")


# What writes a good file, and what reads it.
READERS = {
    **{name: (write, lambda f, name=name: data.load(name, f)) for name, write in SETS.items()},
    "text": (text("a.txt", "one line\n" * 9), lambda f: data.load("text", f / "a.txt")),
    "texts": (text("a.txt", "one line\n" * 9), lambda f: data.load("text", f)),
    "pairs": (text("fra.txt", PAIRS), lambda f: data.readers.read_pairs(f / "fra.txt")),
    "ratings": (text("u.data", RATINGS), ratings),
    "ratings.dat": (text("ratings.dat", RATINGS.replace("\t", "::")), ratings),
    "ratings.csv": (text("ratings.csv", "u,i,r,t\n" + RATINGS.replace("\t", ",")), ratings),
    "csv": (text("a.csv", TABLE), lambda f: data.readers.read_csv(f / "a.csv")),
    "vocabulary": (
        lambda f: data.text.Vocabulary.build("abc").save(f / "v.json"),
        lambda f: data.text.Vocabulary.load(f / "v.json"),
    ),
    "glove": (text("v.txt", GLOVE), vectors),
    "word2vec": (text("v.txt", "3 3\n" + GLOVE), vectors),
    "binary": (binary, lambda f: word_vectors.WordVectors.load(f / "v.bin")),
    "similarities": (
        text("s.tsv", "tiger\tcat\t7.35\nking\tqueen\t8\n"),
        lambda f: word_vectors.read_similarities(f / "s.tsv"),
    ),
    "questions": (
        text("q.txt", ": capitals\nAthens Greece Oslo Norway\n"),
        lambda f: word_vectors.read_questions(f / "q.txt"),
    ),
    "mask": (mask, lambda f: data.readers.read_palette_mask(f / "mask.png")),
    "image": (image, lambda f: data.readers.open_image(f / "image.jpg")),
    "safetensors": (tensors, lambda f: models.weights.read_state_dict(f / "w.safetensors")),
}
PLAIN = [name for name in READERS if name not in ("vocabulary", "binary", "mask", "image")]
LINES = [
    *("airfoil", "face_attributes", "sms_spam", "house_prices", "ecg5000", "pairs", "ratings"),
    *("ratings.dat", "ratings.csv", "csv", "glove", "word2vec", "similarities", "questions"),
    *("text", "texts", "ptb"),
]


@pytest.fixture(autouse=True, scope="module")
def _frozen():
    """What was there before is not looked through again by each collection."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDL_CACHE", str(tmp_path / "cache"))


def peak() -> int:
    """The most memory that this process had since `reset`, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return 0
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])


def reset() -> int:
    gc.collect()
    gc.freeze()
    if pathlib.Path("/proc/self/clear_refs").exists():
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return peak()


def refused(read, folder, *, must=True):
    """Reads; if that fails, as a sentence that names a file, soon, and within memory."""
    before, started = reset(), time.monotonic()
    try:
        found = read(folder)
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        assert "\n" not in message, message
        assert str(folder) in message, message
        assert len(message.replace(str(folder), "")) < 700, message
    else:
        assert not must, f"read as {columns(found)!s:.300}"
    assert time.monotonic() - started < MOST_SECONDS
    assert peak() - before < MOST_BYTES


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_byte(path):
    path.write_bytes(path.read_bytes()[:1])


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def looping(path):
    path.unlink()
    path.symlink_to(path.name)


def other_magic(path):
    path.write_bytes(b"\x89XYZ" + path.read_bytes()[4:])


def no_text(path):
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x80\n")


def gzip_cut(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = [empty, cut, a_byte, a_folder, a_pipe, dangling, looping, other_magic, no_text, gzip_cut]
DAMAGE += [zeros]
# What is left may be good: texts of any length, or a file that was only one of several.
MUST = {empty, a_folder, a_pipe, dangling, looping}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", READERS)
def test_damage_to_any_file_is_one_sentence(name, damage, tmp_path):
    write, read = READERS[name]
    write(tmp_path)
    path = sorted(path for path in tmp_path.rglob("*.*") if path.is_file() or path.is_symlink())[
        -1:
    ]
    path = path or [path for path in tmp_path.rglob("*") if path.is_file()]
    damage(path[0])
    alone = len([p for p in tmp_path.rglob("*") if not p.is_dir() or p in path]) == 1
    # An image that no list names is not looked at, and a review may be empty.
    must = damage in MUST and (alone or damage is not a_folder)
    must &= name != "voc" and (name, damage) != ("imdb", empty)
    refused(read, tmp_path, must=must)


def line_ends(content):
    return content.replace(b"\n", b"\r\n")


def mark(content):
    return b"\xef\xbb\xbf" + content


def blank(content):
    return content + b"\n\n"


def blank_line_ends(content):
    return mark(line_ends(content) + b"\r\n")


@pytest.mark.parametrize("change", [line_ends, mark, blank, blank_line_ends])
@pytest.mark.parametrize("name", LINES)
def test_line_ends_marks_and_empty_lines_change_nothing(name, change, tmp_path):
    write, read = READERS[name]
    for folder in ("plain", "changed"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder)
    for path in (tmp_path / "changed").iterdir():
        path.write_bytes(change(path.read_bytes()))
    want, got = (columns(read(tmp_path / folder)) for folder in ("plain", "changed"))
    if name in ("text", "texts", "ptb"):  # here the empty lines are part of the text
        want, got = (
            "".join(line for split in found.values() for line in split["text"]).strip()
            for found in (want, got)
        )
        got = re.sub("\n{2,}", "\n", got)
    assert repr(got) == repr(want)  # NaN is no equal of itself


EDIT = st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6))


@pytest.mark.parametrize("name", ["csv", "ratings", "glove", "binary", "pairs", "mnist", "mask"])
@hypothesis.settings(max_examples=12)
@hypothesis.given(edits=st.lists(EDIT, min_size=1, max_size=4))
def test_any_bytes_in_any_place(name, edits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    write, read = READERS[name]
    write(folder)
    path = min(folder.iterdir())
    content = path.read_bytes()
    for place, new, dropped in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + dropped :]
    path.write_bytes(content)
    refused(read, folder, must=False)


# Values that are none, by reader: a file's name, its content, and what the sentence says.
FACES = "hair,{}\n1,{}\n"
NONSENSE = {
    "ratings an id of 10^30": (
        "ratings",
        "u.data",
        f"7\t{10**30}\t4\t1\n",
        "line 1: expected user",
    ),
    "ratings a field of 200,000": (
        *("ratings.csv", "ratings.csv", "u,i,r,t\n1,2," + "3" * 200_000 + ",4\n"),
        "line 2: field larger than field limit",
    ),
    "ratings NaN": ("ratings", "u.data", "7\t50\tnan\t1\n", "line 1: expected user"),
    "ratings none": ("ratings", "u.data", "\n\n", "there are no ratings"),
    "csv a field of 200,000": ("csv", "a.csv", "a\n" + "3" * 200_000, "larger than field limit"),
    "csv twice a name": ("csv", "a.csv", "a,a\n1,2\n", "a column name occurs twice"),
    "csv a quote left open": ("csv", "a.csv", 'a,b\n1,"2\n', "line 2"),
    "airfoil 1e300": (
        "airfoil",
        "airfoil_self_noise.dat",
        "1 2 3 4 5 1e300\n",
        "found 1e.300 in row",
    ),
    "airfoil five": ("airfoil", "airfoil_self_noise.dat", "1 2 3 4 5\n", "of 6 numbers, found 5"),
    "ecg class 77": (
        "ecg5000",
        "ECG5000_TRAIN.txt",
        "77" + " 1" * 140,
        "1 to 5, found 77 in row 1",
    ),
    "ecg class 1.7": ("ecg5000", "ECG5000_TRAIN.txt", "1.7" + " 1" * 140, "found 1.7 in row 1"),
    **{
        f"{column} {value}": (
            *("face_attributes", "gender_classification.csv", FACES.format(column, value)),
            f"expected {column} .* or .*, found .* in row 1",
        )
        for column, value in (("Male", 7), ("Male", -4), ("Male", "NA"), ("gender", "Mle"))
    },
    "glove NaN": ("glove", "v.txt", "the 1 2\ncat nan 1\n", "vector of 'cat' is not finite"),
    "glove 1e999": ("glove", "v.txt", "the 1 2\ncat 1e999 1\n", "vector of 'cat' is not finite"),
    "glove a line of 2 MB": ("glove", "v.txt", "the" + " 1" * 10**6, "line 1: longer than"),
    "word2vec too few": ("word2vec", "v.txt", "9 2\nthe 1 2\n", "says 9 words, there are 1"),
    "word2vec bytes of 10^12": (
        "binary",
        "v.bin",
        "999999999999 0\n",
        "cannot hold the 999999999999",
    ),
    "word2vec width of 10^17": ("binary", "v.bin", f"1 {10**17}\nthe ", "cannot hold the 1 words"),
    "word2vec 5,000 digits": (
        "binary",
        "v.bin",
        "9" * 5000 + " 3\n",
        "line 1: expected the numbers",
    ),
    "similarities NaN": ("similarities", "s.tsv", "a\tb\tnan\n", "line 1: expected word, word"),
    "questions of three": ("questions", "q.txt", "a b c\n", "line 1: expected four words"),
    "spam of a third kind": (
        "sms_spam",
        "SMSSpamCollection",
        "eggs\thi\n",
        'line 1: expected "ham"',
    ),
    "vocabulary a list": ("vocabulary", "v.json", "[]", "not a vocabulary"),
    "vocabulary 10^5 deep": ("vocabulary", "v.json", "[" * 10**5, "not a vocabulary"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_values_that_are_none_are_named_with_their_place(case, tmp_path):
    name, file, content, message = NONSENSE[case]
    text(file, content)(tmp_path)
    with pytest.raises(ValueError, match=message):
        READERS[name][1](tmp_path)
    refused(READERS[name][1], tmp_path)


def test_ratings_without_a_header_lose_none(tmp_path):
    rows = "7,50,4.5,964982703\n9,50,3.0,964981247\n"
    for name, head in (("with", "userId,movieId,rating,timestamp\n"), ("without", "")):
        (tmp_path / name).mkdir()
        text("ratings.csv", head + rows)(tmp_path / name)
    want, got = (columns(ratings(tmp_path / n)) for n in ("with", "without"))
    assert got == want
    assert got[1] == [7, 9]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_1_is_refused(limit, tmp_path):
    text("fra.txt", PAIRS)(tmp_path)
    text("v.txt", GLOVE)(tmp_path)
    for read in (
        lambda: data.readers.read_pairs(tmp_path / "fra.txt", limit),
        lambda: data.load("tatoeba", tmp_path, limit=limit),
        lambda: word_vectors.WordVectors.load(tmp_path / "v.txt", limit=limit),
        lambda: data.load("digits", limit=limit),
    ):
        with pytest.raises(ValueError, match=f"limit must be at least 1, got {limit}"):
            read()


def test_one_long_cell_does_not_widen_all(tmp_path):
    text("a.csv", "a,b\n" + "x,1\n" * 5000 + "y" * 100_000 + ",2\n")(tmp_path)
    before = reset()
    table = data.readers.read_csv(tmp_path / "a.csv")
    assert peak() - before < 100 * 2**20  # 5,001 cells of one width would take 1.9 GiB
    assert table["a"].dtype == object
    assert len(table["a"][-1]) == 100_000
    assert table.checksum() == data.Dataset(dict(table.columns)).checksum()
    text("b.csv", "a,b\n" + "x,1\n" * 5000 + "z" * 100_000 + ",2\n")(tmp_path)
    assert table.checksum() != data.readers.read_csv(tmp_path / "b.csv").checksum()


def test_a_checksum_of_objects_is_that_of_what_they_hold():
    first, second = (
        data.Dataset({"text": np.array(["".join(("a", "b")), "c"], object)}) for _ in range(2)
    )
    assert first["text"][0] is not second["text"][0]
    assert first.checksum() == second.checksum()


# Packed files that unpack to much more than they are.

MEGA = zlib.compressobj(9, zlib.DEFLATED, -15)
MEGA = MEGA.compress(bytes(2**20)) + MEGA.flush(zlib.Z_FULL_FLUSH)  # a block of 2^20 zeros


def bomb(start: bytes, megas: int) -> bytes:
    """A gzip stream of `start` and so many times 2^20 zeros."""
    first = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = first.compress(start) + first.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first + MEGA * megas + b"\x03\0" + bytes(8)


def tar_header(name: str, size: int, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def zip_of(target, *entries, method=zipfile.ZIP_DEFLATED, claim=None, flags=None, packed=None):
    with zipfile.ZipFile(target, "w", method) as file:
        for name, content in entries:
            file.writestr(name, content)
    content = bytearray(target.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    if claim is not None:
        content[at + 24 : at + 28] = struct.pack("<I", claim)
    if flags is not None:
        content[at + 8 : at + 10] = struct.pack("<H", flags)
        content[6:8] = struct.pack("<H", flags)
    if packed is not None:
        content[at + 10 : at + 12] = struct.pack("<H", packed)
        content[8:10] = struct.pack("<H", packed)
    target.write_bytes(content)


def tar_of(target, *members):
    with tarfile.open(target, "w") as file:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            file.addfile(info)


IDX = bytes.fromhex("00000803 00000001 00000002 00000002")
REVIEW = "aclImdb/train/neg/0_5.txt"
CAT_XML = "<annotation>{}</annotation>"
BOMBS = {
    "zip that claims 4 GB": (
        "tatoeba",
        lambda f: zip_of(f / "a.zip", ("a.txt", "x\ty"), claim=2**32 - 2),
    ),
    "zip of a gigabyte": (
        "tatoeba",
        lambda f: zip_of(f / "a.zip", *((f"{i}.txt", bytes(2**23)) for i in range(36))),
    ),
    "zip with a password": ("tatoeba", lambda f: zip_of(f / "a.zip", ("a.txt", "x\ty"), flags=1)),
    "zip of an unknown kind": (
        "tatoeba",
        lambda f: zip_of(f / "a.zip", ("a.txt", "x\ty"), packed=99),
    ),
    "zip 5,000 deep": ("tatoeba", lambda f: zip_of(f / "a.zip", ("a/" * 5000 + "a.txt", "x\ty"))),
    "zip whose file is a folder too": (
        "tatoeba",
        lambda f: zip_of(f / "a.zip", ("a", "x\ty"), ("a/a.txt", "x\ty")),
    ),
    "gz that holds more than it says": (
        "mnist",
        lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(bomb(IDX, 400)),
    ),
    "gz that holds what it says, too much": (
        "mnist",
        lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(
            bomb(bytes.fromhex("00000803 00000190 00000400 00000400"), 400)
        ),
    ),
    "idx of 2^96 bytes": (
        "mnist",
        lambda f: (f / "train-images-idx3-ubyte").write_bytes(IDX[:4] + b"\xff" * 12 + bytes(9)),
    ),
    "idx of 255 axes": (
        "mnist",
        lambda f: (f / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\xff" + bytes(2000)),
    ),
    "tar of a file of 400 MB": (
        "imdb",
        lambda f: (f / "a.tar.gz").write_bytes(bomb(tar_header(REVIEW, 400 * 2**20), 401)),
    ),
    "tar of a review of 20 MB": (
        "imdb",
        lambda f: (f / "a.tar.gz").write_bytes(bomb(tar_header(REVIEW, 20 * 2**20), 21)),
    ),
    "tar that claims 10^18": (
        "imdb",
        lambda f: (f / "a.tar.gz").write_bytes(gzip.compress(tar_header(REVIEW, 10**18))),
    ),
    "tar whose name has 400 MB": (
        "imdb",
        lambda f: (f / "a.tar.gz").write_bytes(bomb(tar_header("x", 400 * 2**20, b"L"), 401)),
    ),
    "tar whose attributes have 10^18": (
        "imdb",
        lambda f: (f / "a.tar.gz").write_bytes(gzip.compress(tar_header("x", 10**18, b"x"))),
    ),
    **{
        f"tar with a {what}": (
            *("tatoeba", lambda f, members=members: tar_of(f / "a.tar", *members)),
        )
        for what, members in {
            "link outside": [("a.txt", tarfile.SYMTYPE, "../../../etc/passwd")],
            "link to a root": [("a.txt", tarfile.SYMTYPE, "/etc/passwd")],
            "link to nothing": [("a.txt", tarfile.SYMTYPE, "nothing")],
            "hard link to nothing": [("a.txt", tarfile.LNKTYPE, "nothing")],
            "link to itself": [("a.txt", tarfile.SYMTYPE, "a.txt")],
            "ring of links": [("a", tarfile.SYMTYPE, "b"), ("b", tarfile.SYMTYPE, "a")],
            "device": [("a.txt", tarfile.CHRTYPE, "")],
            "pipe": [("a.txt", tarfile.FIFOTYPE, "")],
            "name that climbs": [("../../a.txt", tarfile.REGTYPE, "")],
            "name of a root": [("/a.txt", tarfile.DIRTYPE, "")],
        }.items()
    },
    **{
        f"reviews with a {what}": (
            *("imdb", lambda f, members=members: tar_of(f / "a.tar.gz", *members)),
        )
        for what, members in {
            "ring of links": [
                (REVIEW, tarfile.SYMTYPE, "1.txt"),
                (REVIEW, tarfile.LNKTYPE, REVIEW),
            ],
            "link outside": [(REVIEW, tarfile.LNKTYPE, "/etc/passwd")],
        }.items()
    },
}


@pytest.mark.parametrize("case", BOMBS)
def test_packed_files_are_refused_by_what_they_would_become(case, tmp_path):
    name, write = BOMBS[case]
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder)
    refused(lambda f: data.load(name, f, limit=5), folder)
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent != folder]
    assert not [p for p in written if p.parent.parent.name != "archives"], written


XML = {
    "an unknown encoding": '<?xml version="1.0" encoding="klingon"?>' + CAT_XML.format(""),
    "an encoding of several bytes": '<?xml version="1.0" encoding="utf-7"?>' + CAT_XML.format(""),
    "a billion laughs": "<!DOCTYPE x [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10))
    + "]>"
    + CAT_XML.format("<object><name>&a9;</name></object>"),
    "a file as an entity": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    + CAT_XML.format("<object><name>&a;</name></object>"),
    "no end": "<annotation><object>",
    "a box of 1e999": CAT_XML.format(
        "<object><name>cat</name><bndbox><xmin>1e999</xmin><ymin>1</ymin><xmax>2</xmax>"
        "<ymax>2</ymax></bndbox></object>"
    ),
    "a million levels": "<annotation>" + "<object>" * 10**6,
}


@pytest.mark.parametrize("case", XML)
def test_annotations_that_are_none(case, tmp_path):
    SETS["voc"](tmp_path)
    (tmp_path / "Annotations" / "a.xml").write_text(XML[case])
    refused(READERS["voc"][1], tmp_path)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/../../b"])
def test_lists_name_no_image_outside(name, tmp_path):
    for kind, lists in (("voc", "Main"), ("voc_masks", "Segmentation")):
        folder = tmp_path / kind
        folder.mkdir()
        SETS[kind](folder)
        (folder / "ImageSets" / lists / "train.txt").write_text(f"{name}\n")
        with pytest.raises(data.DataError, match="would lie outside the folder of images"):
            data.load(kind, folder)


def png(width: int, height: int, *, claimed: bytes | None = None) -> bytes:
    """A gray PNG of one bit, or one whose header claims another size than it has."""
    stream = io.BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG", compress_level=1)
    content = bytearray(stream.getvalue())
    if claimed is not None:
        content[16:24] = claimed
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


PNGS = {
    "20,000 x 20,000": lambda: png(20_000, 20_000),
    "a claim of 30,000 x 30,000": lambda: png(1, 1, claimed=struct.pack(">II", 30_000, 30_000)),
    "a claim of 2^31 x 2^31": lambda: png(1, 1, claimed=struct.pack(">II", 2**31, 2**31)),
    "a claim of 0 x 0": lambda: png(1, 1, claimed=bytes(8)),
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
}


@pytest.mark.parametrize("case", PNGS)
def test_images_are_refused_by_the_size_they_claim(case, tmp_path):
    content = PNGS[case]()
    (tmp_path / "mask.png").write_bytes(content)
    refused(READERS["mask"][1], tmp_path)
    SETS["hymenoptera"](tmp_path)
    path = next((tmp_path / "train").rglob("*.*"))
    path.with_suffix(".png").write_bytes(content)
    refused(READERS["hymenoptera"][1], tmp_path)


@pytest.mark.parametrize("size", [(1, 1), (60_000, 1), (1, 60_000), (3, 2)])
def test_strips_and_single_pixels_are_images(size, tmp_path):
    SETS["hymenoptera"](tmp_path)
    path = next((tmp_path / "train").rglob("*.*")).with_name("0.png")
    Image.new("RGB", size, (9, 8, 7)).save(path)
    before = reset()
    train = data.readers.read_image_folders(tmp_path, size=28)["train"]
    assert peak() - before < MOST_BYTES
    assert any((image == [9, 8, 7]).all() for image in train["image"])


def test_a_cut_out_part_is_that_of_the_whole_enlarged(tmp_path):
    """What is kept comes out as from enlarging all of it, up to Pillow's own rounding."""
    SETS["hymenoptera"](tmp_path)
    path = next((tmp_path / "train").rglob("*.*")).with_name("0.png")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8))
    image.save(path)
    whole = image.resize((round(61 * 32 / 37), 32), Image.Resampling.BILINEAR)
    left = (whole.width - 28) // 2
    want = np.asarray(whole.crop((left, 2, left + 28, 30))).astype(int)
    images = data.readers.read_image_folders(tmp_path, size=28)["train"]["image"].astype(int)
    assert min(np.abs(found - want).max() for found in images) <= 1


def header(text: str | bytes, size: int | None = None) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(content) if size is None else size) + content


LIES = {
    "a header of 2^63": header("{}", 2**63),
    "a header longer than the file": header("{}", 5000),
    "no JSON": header("{"),
    "a list": header("[]"),
    "offsets beyond the end": header('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
    + b"1234",
    "negative offsets": header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}') + b"1234",
    "a shape of 2^62": header(f'{{"a":{{"dtype":"F32","shape":[{2**62},4],"data_offsets":[0,4]}}}}')
    + b"1234",
    "an unknown type": header('{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}') + b"1234",
    "10^5 levels": header("[" * 10**5),
}


@pytest.mark.parametrize("case", LIES)
def test_headers_of_weights_that_lie(case, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(LIES[case])
    refused(READERS["safetensors"][1], tmp_path)


class Code:
    """A pickle that runs something when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_code_in_pickles_is_not_run(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "w.pth"
    content = pickle.dumps({"a": Code(marker)})
    objects = io.BytesIO()
    np.savez(objects, a=np.array([Code(marker)], object))
    for write in (
        lambda: path.write_bytes(content),
        lambda: zip_of(path, ("w/data.pkl", content), method=zipfile.ZIP_STORED),
        lambda: path.write_bytes(objects.getvalue()),
    ):
        write()
        with pytest.raises(ValueError, match=re.escape(str(path))):
            models.weights.read_state_dict(path)
    assert not marker.exists()
