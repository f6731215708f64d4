"""The README is short, its links lead somewhere, and its code runs as it stands there."""

import ast
import pathlib
import re

import equinox
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]


def test_it_is_read_in_a_minute():
    assert len(TEXT.splitlines()) <= 90
    assert len([line for line in CODE.splitlines() if line]) <= 12
    assert max(map(len, CODE.splitlines())) <= 100


def test_links_lead_to_files():
    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT)
    assert len(targets) >= 6
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_commands_name_modules_that_exist():
    modules = re.findall(r"python -m ([\w.]+)", TEXT)
    assert "experiments.lenet" in modules
    for module in set(modules) - {"pytest"}:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


class NnxNet(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(64, 10, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.dense(jnp.reshape(x, (len(x), -1)))


class EquinoxNet(equinox.Module):
    dense: equinox.nn.Linear

    def __call__(self, x):
        return self.dense(jnp.ravel(x))


MODULES = {
    "as it is": "models.MLP((64, 10))",
    "nnx": "NnxNet()",
    "equinox": "EquinoxNet(equinox.nn.Linear(64, 10, key=jax.random.key(0)))",
}


@pytest.mark.parametrize("module", MODULES)
def test_the_code_runs_and_learns_with_any_module(module, capsys):
    assert MODULES["as it is"] in CODE
    code = CODE.replace(MODULES["as it is"], MODULES[module])
    names = {"NnxNet": NnxNet, "EquinoxNet": EquinoxNet, "equinox": equinox, "jax": jax}
    exec(compile(code, "README.md", "exec"), names)
    printed = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert printed["accuracy"] > 0.9
