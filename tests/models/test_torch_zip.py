"""`.pth` files of somebody who means harm: a sentence each, and no memory but the file's own."""

import contextlib
import pickle
import random
import resource
import struct
import zipfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from jaxdl.models import weights
from tests.references import reference

torch = reference("torch")


def write(path, content, storages=None, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("a/data.pkl", content)
        for key, data in (storages or {"0": bytes(range(40))}).items():
            archive.writestr(f"a/data/{key}", data)
    return path


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    data = pickle.dumps(value, 2)
    return data[2:-1]  # without the protocol and the stop


def storage(kind="FloatStorage", count=10, key="0"):
    return (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
        + number(count) + b"tQ"
    )  # fmt: skip


def tensor(offset=0, size=(10,), stride=(1,), **options):
    """A call of torch's function over a storage, as torch.save writes it; sizes may be bytes."""
    as_bytes = [x if isinstance(x, bytes) else number(x) for x in (offset, size, stride)]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(**options)
        + b"".join(as_bytes)
        + b"\x89}tR"
    )


def state_dict(value):
    return b"\x80\x02}" + text("w") + value + b"s."


def read(tmp_path, content, **options):
    return weights.read_state_dict(write(tmp_path / "a.pth", content, **options))


def test_what_the_cases_below_are_made_of_is_read(tmp_path):
    got = read(tmp_path, state_dict(tensor(2, (2, 3), (3, 1))))["w"]
    want = np.frombuffer(bytes(range(40)), "<f4")[2:8].reshape(2, 3)
    np.testing.assert_array_equal(got, want)
    assert got.flags.owndata or got.base.flags.owndata  # a copy
    repeated = read(tmp_path, state_dict(tensor(1, (50,), (0,))))["w"]
    np.testing.assert_array_equal(repeated, np.full(50, np.frombuffer(bytes(range(40)), "<f4")[1]))


# A tensor that the file itself holds, in place of a plain number: its products may overflow.
AS_TENSOR = tensor(0, (2,), (1,))


FUNCTION = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    "value, said",
    [
        (tensor(0, (1000, 5), (1, 2**62 - 250)), "not all counts"),
        (tensor(0, (40_000_000, 5), (1, 2**62 - 10_000_000)), "not all counts"),
        (tensor(0, AS_TENSOR, AS_TENSOR), "not two tuples"),
        (tensor(0, b"(" + AS_TENSOR + b"t", (1,)), "not all counts"),
        (tensor(AS_TENSOR), "not all counts"),
        (tensor(True), "not all counts"),
        (tensor(0.0), "not all counts"),
        (tensor(-1), "not all counts"),
        (tensor(0, (11,)), "does not fit"),
        (tensor(0, (2,), (10,)), "does not fit"),
        (tensor(10, (1,)), "does not fit"),
        (tensor(0, (2**39, 2**39), (1, 0)), "does not fit"),
        (tensor(0, (2_000_000_000,), (0,)), "bytes of tensors, many times"),
        (tensor(0, (1,) * 33, (1,) * 33), "33 axes"),
        (tensor(0, (10,), (1, 1)), "not two tuples of one length"),
        (tensor(count=2**62), "has 40 bytes, not"),
        (tensor(count=-10), "has 40 bytes, not"),
        (tensor(count=10.0), "no size"),
        (tensor(key="none"), "a/data/none"),
        (tensor(key="../data.pkl"), "no item named"),
        (tensor(kind="Tensor"), "asks for torch.Tensor"),
        # BUILD: attributes of a function, of a tensor, of a type
        (FUNCTION + b"}" + text("__defaults__") + number((1,)) + b"sb", "sets the state of a Call"),
        (FUNCTION + b"}" + text("_function") + b"Nsb", "sets the state of a Call"),
        (tensor() + b"}" + text("_size") + number((10**9,)) + b"sb", "sets the state of a Tensor"),
        (storage() + b"}" + text("numbers") + b"Nsb", "sets the state of a Storage"),
        (b"ctorch\nFloatStorage\n}" + text("name") + text("LongStorage") + b"sb", "sets the state"),
        (b"ctorch._utils\n_rebuild_parameter\n(K\x01tR", "made of int"),
        (b"r" + struct.pack("<I", 2**31 - 1), "entry 2147483647"),
        (b"r\xff\xff\xff\xff", "entry 4294967295"),
        (b"X\xff\xff\xff\xff", "expected 4294967295 bytes"),
        (b"\x8d" + b"\xff" * 7 + b"\x7f", "expected"),
        (b"ccopyreg\n__newobj__\n", "asks for copyreg.__newobj__"),
        (b"cbuiltins\neval\n", "asks for builtins.eval"),
        (b"c" + b"a" * 100_000 + b"\nb\n", "asks for"),
        (b"(" * 1000, "a.pth"),
        (b"", "a.pth"),
    ],
)  # fmt: skip
def test_each_attack_is_one_sentence(tmp_path, value, said):
    with limited_memory(2**30), pytest.raises(ValueError, match=said) as error:
        read(tmp_path, state_dict(value))
    assert str(tmp_path / "a.pth") in str(error.value)
    assert len(str(error.value)) < 600


class limited_memory:
    """Fails, instead of taking more than so many bytes of address space beyond what is taken."""

    def __init__(self, more):
        self.more = more

    def __enter__(self):
        self.old = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + self.more, self.old[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_AS, self.old)


def test_archives_that_hold_more_than_the_file_are_refused(tmp_path):
    packed = {"compression": zipfile.ZIP_DEFLATED}
    with pytest.raises(ValueError, match="is compressed"):
        read(tmp_path, state_dict(tensor(count=2**20)), storages={"0": bytes(2**22)}, **packed)
    # one storage of 4 MB, copied by 100 tensors
    content = b"\x80\x02}" + b"".join(
        text(f"w{k}") + tensor(size=(2**20,), count=2**20) + b"s" for k in range(100)
    )
    with pytest.raises(ValueError, match="many times what it holds"):
        read(tmp_path, content + b".", storages={"0": bytes(2**22)})
    described = tensor(size=(10,)) + b"0" + tensor(size=(10,), kind="IntStorage")
    with pytest.raises(ValueError, match="described in two ways"):
        read(tmp_path, state_dict(described))
    with pytest.raises(ValueError, match="no file of weights"):
        weights.read_state_dict(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A state dict as torch writes it: its pickle and the bytes of its storages."""
    path = tmp_path_factory.mktemp("whole") / "a.pth"
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = module.state_dict()
    state["parameter"] = torch.nn.Parameter(torch.ones(2, 3).T)
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folder = names[0].partition("/")[0]
        storages = {n.rpartition("/")[2]: archive.read(n) for n in names if "/data/" in n}
        return archive.read(f"{folder}/data.pkl"), storages


def readable(folder, content, storages):
    """Whether it is read; anything but a ValueError, or numbers that the file lacks, is raised."""
    path, error = write(folder / "a.pth", content, storages), None
    with limited_memory(2**30):
        try:
            found = weights.read_state_dict(path)
        except ValueError as raised:
            error = raised
    if error is not None:
        assert len(str(error)) < 1000
        assert "a.pth" in str(error)
        return False
    held = b"".join(storages.values())
    for array in found.values():
        for item in np.unique(array)[:5]:
            assert item.tobytes() in held
    return True


def test_what_torch_writes_is_read_and_every_byte_can_be_another(whole, tmp_path):
    content, storages = whole
    assert readable(tmp_path, content, storages)
    rng = random.Random(0)
    read = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] = rng.randrange(256)
        read += readable(tmp_path, bytes(changed), storages)
    assert 0 < read < len(content)


OPERATIONS = [bytes([k]) for k in b"().012NRQbdeaist}]lou\x80\x85\x86\x87\x88\x89\x8f\x90\x94"]
PIECES = [
    *OPERATIONS, b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", storage(), tensor(), text("_size"),
    text("__dict__"), b"q\x00", b"h\x00", number((2**40, 2**40)), number(2**62), b"K\x02",
    number((1, 2**62)), b"B\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"\x8a\xff",
]  # fmt: skip


@hypothesis.given(st.lists(st.sampled_from(PIECES), max_size=30))
@hypothesis.settings(max_examples=150)
def test_any_order_of_operations_is_a_value_error_or_read(tmp_path_factory, pieces):
    storages = {"0": bytes(range(40))}
    folder = tmp_path_factory.getbasetemp()
    readable(folder, state_dict(b"".join(pieces)), storages)
    readable(folder, state_dict(tensor() + b"".join(pieces)), storages)


@pytest.mark.slow
def test_ten_thousand_changes_of_what_torch_writes(whole, tmp_path):
    content, storages = whole
    rng = random.Random(1)
    for _ in range(10_000):
        changed = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(changed))
            piece = rng.choice([*PIECES, bytes([rng.randrange(256)])])
            changed[place : place + rng.randint(0, 8)] = piece
        readable(tmp_path, bytes(changed), storages)


def test_a_file_cut_or_changed_anywhere_is_a_value_error(whole, tmp_path):
    content, storages = whole
    data = write(tmp_path / "whole.pth", content, storages).read_bytes()
    rng = random.Random(2)
    for _ in range(300):
        changed = bytearray(data[: rng.choice([len(data), rng.randrange(len(data))])])
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        (tmp_path / "b.pth").write_bytes(changed)
        with contextlib.suppress(ValueError):
            weights.read_state_dict(tmp_path / "b.pth")
