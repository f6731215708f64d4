"""Weights that torch published, in and out: safetensors, and `.pth` read without executing code.

    variables, report = weights.load(path, model, variables)
    print(report)

The model names its counterpart in torchvision (`model.torch_module`). Layouts differ: torch keeps
kernels `[O, C, h, w]` where we have `[h, w, C, O]`, dense weights `[O, I]`, and flattens channels
first.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.models._torch_zip import DAMAGE, read

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_STATISTICS = {"mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every name when weights were loaded; print it."""

    matched: tuple[str, ...]  # taken over
    missing: tuple[str, ...]  # in the model only: kept as they were
    unexpected: tuple[str, ...]  # in the file only: left out
    reshaped: tuple[str, ...]  # in both with different shapes: kept as they were

    @property
    def complete(self) -> bool:
        """Whether all of the model was found; files may hold more."""
        return not self.missing and not self.reshaped

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} arrays loaded"]
        for name in ("missing", "unexpected", "reshaped"):
            names = getattr(self, name)
            if names:
                rest = f" and {len(names) - 6} more" if len(names) > 6 else ""
                lines.append(f"{len(names)} {name}: {', '.join(names[:6])}{rest}")
        return "; ".join(lines)


def load(path: str | pathlib.Path, model: Any, variables: Any) -> tuple[Any, LoadReport]:
    """Loads a file of torch's names into the variables of one of our models.

    >>> from jaxdl import models
    >>> model = models.VGG(num_classes=None, depths=(1,), widths=(2,))
    >>> variables = {"params": {"conv1_1": {"kernel": jnp.ones((3, 3, 3, 2)), "bias": jnp.ones(2)}}}
    >>> save("tiny.safetensors", model, variables)
    >>> print(load("tiny.safetensors", model, variables)[1])
    2 arrays loaded

    Args:
        path: a `.safetensors` file, or a `.pth`/`.pt` state dict in torch's zip format.
        model: a model with `torch_module`.
        variables: `{"params": ..., "batch_stats": ...}` as from `model.init` (arrays, or shapes
            from `jax.eval_shape` where everything is in the file).
    Returns: new variables, and the report.
    Raises: ValueError if the file cannot be read, or nothing in it fits.
    """
    loaded, report = from_torch(model, variables, read_state_dict(path))
    if not report.matched:
        raise ValueError(f"{path} holds nothing that fits this model: {report}")
    return loaded, report


def save(path: str | pathlib.Path, model: Any, variables: Any) -> None:
    """Writes variables as a safetensors file with torch's names and layouts; see `load`."""
    import safetensors.numpy

    safetensors.numpy.save_file(to_torch(model, variables), str(path))


def to_torch(model: Any, variables: Any) -> dict[str, np.ndarray]:
    """Variables as a state dict: torch's names, torch's layouts.

    >>> from jaxdl import models
    >>> model = models.VGG(num_classes=None, depths=(1,), widths=(2,))
    >>> variables = {"params": {"conv1_1": {"kernel": jnp.ones((3, 3, 3, 2)), "bias": jnp.ones(2)}}}
    >>> {name: array.shape for name, array in to_torch(model, variables).items()}
    {'features.0.bias': (2,), 'features.0.weight': (2, 3, 3, 3)}
    """
    return {
        _name(model, path): np.ascontiguousarray(_torch_layout(model, path, np.asarray(leaf)))
        for path, leaf in _leaves(variables)
    }


def from_torch(
    model: Any, variables: Any, state_dict: Mapping[str, np.ndarray]
) -> tuple[Any, LoadReport]:
    """Variables with the arrays of a state dict in place of those of the same name and shape.

    >>> from jaxdl import models
    >>> model = models.VGG(num_classes=None, depths=(1,), widths=(2,))
    >>> variables = {"params": {"conv1_1": {"kernel": jnp.ones((3, 3, 3, 2)), "bias": jnp.ones(2)}}}
    >>> print(from_torch(model, variables, {"features.0.bias": np.zeros(2)})[1])
    1 arrays loaded; 1 missing: features.0.weight
    """
    remaining = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    found: dict[str, list[str]] = {"matched": [], "missing": [], "reshaped": []}

    def take(path: tuple[str, ...], leaf: Any) -> Any:
        name = _name(model, path)
        if name not in remaining:
            found["missing"].append(name)
            return leaf
        array = np.asarray(remaining.pop(name))
        wanted = jax.eval_shape(lambda x: _torch_layout(model, path, x), leaf).shape
        if array.shape != wanted:
            found["reshaped"].append(f"{name} {array.shape} for {wanted}")
            return leaf
        found["matched"].append(name)
        return jnp.asarray(_our_layout(model, path, array), leaf.dtype)

    leaves = [take(path, leaf) for path, leaf in _leaves(variables)]
    loaded = jax.tree.unflatten(jax.tree.structure(variables), leaves)
    report = LoadReport(unexpected=tuple(remaining), **{k: tuple(v) for k, v in found.items()})
    return loaded, report


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.safetensors` file or a torch state dict, by name.

    A state dict may be nested under "state_dict" or "model". Its pickle is read by an unpickler
    that knows tensors and plain containers and calls nothing else.

    >>> import safetensors.numpy
    >>> safetensors.numpy.save_file({"fc.bias": np.ones(2, np.float32)}, "head.safetensors")
    >>> read_state_dict("head.safetensors")
    {'fc.bias': array([1., 1.], dtype=float32)}

    Raises: FileNotFoundError; ValueError for other formats, damage, or a pickle with code in it.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}")
    if not path.is_file():
        raise ValueError(f"{path} is no file of weights")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if zipfile.is_zipfile(path):
            return read(path)
    except ValueError as error:
        named = str(error).startswith(str(path))
        raise error if named else ValueError(f"{path} cannot be read: {error}") from error
    except DAMAGE as e:
        raise ValueError(f"{path} is not a state dict that can be read: {str(e)[:300]}") from e
    raise ValueError(
        f"{path} is neither a .safetensors file nor a state dict in torch's zip format (torch 1.6 "
        "or newer; load and save older files once with a newer torch)"
    )


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.flax

    try:  # the Flax reader knows bfloat16
        return {k: np.asarray(v) for k, v in safetensors.flax.load_file(str(path)).items()}
    except safetensors.SafetensorError as e:
        raise ValueError(f"{path} is not a safetensors file: {e}") from e


# Names and layouts.


def _leaves(variables: Any) -> list[tuple[tuple[str, ...], Any]]:
    flat, _ = jax.tree_util.tree_flatten_with_path(variables)
    return [(tuple(key.key for key in path), leaf) for path, leaf in flat]


def _name(model: Any, path: tuple[str, ...]) -> str:
    collection, *modules, leaf = path
    names = _STATISTICS if collection == "batch_stats" else _LEAVES
    return f"{model.torch_module('/'.join(modules))}.{names[leaf]}"


def _flattened(model: Any, path: tuple[str, ...]) -> tuple[int, int] | None:
    return getattr(model, "flattened", {}).get("/".join(path[1:-1]))


def _torch_layout(model: Any, path: tuple[str, ...], x: Any) -> Any:
    if path[-1] != "kernel":
        return x
    if x.ndim == 4:
        return x.transpose(3, 2, 0, 1)
    if (size := _flattened(model, path)) is not None:  # rows in order h, w, c become c, h, w
        x = x.reshape(*size, -1, x.shape[-1]).transpose(2, 0, 1, 3).reshape(x.shape)
    return x.T


def _our_layout(model: Any, path: tuple[str, ...], x: np.ndarray) -> np.ndarray:
    if path[-1] != "kernel":
        return x
    if x.ndim == 4:
        return x.transpose(2, 3, 1, 0)
    x = x.T
    if (size := _flattened(model, path)) is not None:
        x = x.reshape(-1, *size, x.shape[-1]).transpose(1, 2, 0, 3).reshape(x.shape)
    return x
