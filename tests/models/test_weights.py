import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import models
from jaxdl.models import weights
from tests.references import reference

torch = reference("torch")

MODEL = models.ResNet(5, stages=(1,), width=4, stem="small")


@pytest.fixture(scope="module")
def variables():
    return MODEL.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), train=False)


def test_there_and_back_through_safetensors(variables, tmp_path):
    weights.save(tmp_path / "a.safetensors", MODEL, variables)
    empty = jax.tree.map(jnp.zeros_like, variables)
    loaded, report = weights.load(tmp_path / "a.safetensors", MODEL, empty)
    assert report.complete
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64", "int64", "bool"])
def test_pth_of_every_dtype_and_stride(dtype, tmp_path):
    tensor = (torch.arange(24).reshape(2, 3, 4) % 5).to(getattr(torch, dtype))
    tree = {"a": tensor, "t": tensor.permute(2, 0, 1)[1:], "scalar": tensor[0, 0, 1], "epoch": 3}
    torch.save({"state_dict": tree, "lr": 0.1}, tmp_path / "a.pth")
    got = weights.read_state_dict(tmp_path / "a.pth")
    assert set(got) == {"a", "t", "scalar"}
    for name in got:
        np.testing.assert_array_equal(got[name].astype(float), tree[name].double().numpy())


def test_report_tells_what_did_not_fit(variables):
    """T11: weights that were never loaded do not pass for loaded ones."""
    state = weights.to_torch(MODEL, variables)
    state["fc.weight"], state["extra"] = np.ones((7, 4), np.float32), np.ones(1)
    del state["bn1.bias"]
    loaded, report = weights.from_torch(MODEL, variables, state)
    assert report.reshaped == ("fc.weight (7, 4) for (5, 4)",)
    assert (report.missing, report.unexpected) == (("bn1.bias",), ("extra",))
    assert not report.complete
    assert "1 reshaped: fc.weight" in str(report)
    np.testing.assert_array_equal(
        loaded["params"]["head"]["kernel"], variables["params"]["head"]["kernel"]
    )


def test_another_architecture_is_refused(variables, tmp_path):
    torch.save({"classifier.0.weight": torch.ones(3, 3)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="nothing that fits.*unexpected: classifier.0.weight"):
        weights.load(tmp_path / "a.pth", MODEL, variables)


class Bomb:
    def __reduce__(self):
        return (print, ("executed",))


def test_code_in_a_pickle_is_not_executed(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w") as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({"a": Bomb()}))
    with pytest.raises(ValueError, match=r"asks for (builtins|__builtin__).print"):
        weights.read_state_dict(tmp_path / "bomb.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # a whole module, not a state dict
    with pytest.raises(ValueError, match="no state dict needs"):
        weights.read_state_dict(tmp_path / "module.pth")
    assert not capsys.readouterr().out


def test_damaged_files_are_named(tmp_path):
    torch.save({"a": torch.ones(4)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name)[:-4] if "/data/0" in name else old.read(name))
    with pytest.raises(ValueError, match="12 bytes, not 16"):
        weights.read_state_dict(tmp_path / "b.pth")
    (tmp_path / "c.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a safetensors file"):
        weights.read_state_dict(tmp_path / "c.safetensors")
    (tmp_path / "d.pth").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="neither"):
        weights.read_state_dict(tmp_path / "d.pth")
    with pytest.raises(FileNotFoundError, match="no weights at"):
        weights.read_state_dict(tmp_path / "none.pth")
