"""The training of a run folder, made again from what the folder records of it."""

import contextlib
import dataclasses
import importlib
import io
import pathlib
import sys
import tempfile
import types
import typing
from collections.abc import Mapping
from typing import Any

import jax

from jaxdl import train
from jaxdl.runs._read import read


class _Taken(BaseException):
    """Ends an experiment where its training would begin."""

    def __init__(self, training: train.Training) -> None:
        self.training = training


def training_of(folder: pathlib.Path, module: str | None = None) -> train.Training:
    """What the experiment of a run asks `train.fit` for, with the options of config.json.

    Its `main` runs, in a folder that is thrown away, up to the first call of `fit`.

    Args:
        folder: of the run.
        module: that holds `main` and `Config`; experiments.NAME if not given.
    Raises: ValueError where there is no such module, or it does not train by `fit`.
    """
    config = dict(read(folder).config)
    name = module or f"experiments.{config.pop('experiment', '')}"
    config.pop("experiment", None)
    experiment = _import(name)
    options = config_of(experiment.Config, config, folder)
    with tempfile.TemporaryDirectory() as scratch:
        fields = {field.name for field in dataclasses.fields(options)}
        if "out" in fields:
            options = dataclasses.replace(options, out=pathlib.Path(scratch) / "run")

        def taker(training: train.Training) -> None:
            raise _Taken(training)

        try:
            with train.intercepting(taker), contextlib.redirect_stdout(io.StringIO()):
                experiment.main(options)
        except _Taken as taken:
            return taken.training
    raise ValueError(f"{name} does not train by train.fit, so that there is no step to replay")


def _import(name: str) -> types.ModuleType:
    """A module, of the working directory if need be."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise ValueError(
                f"there is no module {name} to replay with; name the run's own with --module"
            ) from error
        raise
    finally:
        sys.path.remove("")


def config_of(kind: type, values: Mapping[str, Any], folder: pathlib.Path) -> Any:
    """The options as the dataclass has them, from what JSON made of them."""
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{folder} has options that {kind.__module__} lacks: {', '.join(unknown)}")
    return kind(**{name: _typed(value, hints[name]) for name, value in values.items()})


def _typed(value: Any, hint: Any) -> Any:
    """A value of JSON as its annotation says: tuples from lists, paths and dataclasses."""
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if typing.get_origin(hint) is typing.Union:
        choices = typing.get_args(hint)
    for choice in choices:
        if isinstance(value, list) and typing.get_origin(choice) is tuple:
            inner = typing.get_args(choice)
            return tuple(_typed(item, inner[0]) for item in value)
        if isinstance(value, str) and choice is pathlib.Path:
            return pathlib.Path(value)
        if isinstance(value, dict) and dataclasses.is_dataclass(choice):
            return config_of(typing.cast(type, choice), value, pathlib.Path("."))
    return value


class Saved:
    """The checkpoints of a run, read one at a time."""

    def __init__(self, folder: pathlib.Path, training: train.Training) -> None:
        self._training = training
        path = folder / "checkpoints"
        self._checkpoints = train.Checkpoints(path) if path.is_dir() else None
        self.steps = self._checkpoints.steps() if self._checkpoints else []

    def state(self, step: int) -> train.TrainState:
        """The state after so many steps; the first one for 0."""
        start = self._training.state
        if step == 0 or self._checkpoints is None:
            return start
        example = self._training.batch(0)
        _, one = jax.eval_shape(self._training.trainer.step, start, example)
        metrics = jax.eval_shape(train.merge_metrics, one, one)
        weights = {"params": start.params, "model_state": start.model_state, "ema": start.ema}
        best = weights if self._training.keeps_best else None
        like = {"state": start, "metrics": metrics, "best": best}
        return self._checkpoints.restore(like, step)[0]["state"]

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
