"""Transfer learning: the body of a trained network under a new head, trained on few examples.

    python -m experiments.finetune                  # digits 0-4, then 5-9 with 10 examples of each
    python -m experiments.finetune --data hymenoptera --data-dir DIR --weights resnet18.safetensors

Four ways on the same data and steps: from scratch; body frozen; body at a tenth of the head's rate;
body at the same rate. torch's published ResNet-18 weights (.safetensors or .pth) serve as the body
for photographs of ants and bees. Published: .940 with them, .850 from scratch (Zhang et al., Dive
into deep learning, sec. 14.2).
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, models, objectives, optim, plots, runs, train
from jaxdl.models import weights

WAYS = ("scratch", "frozen", "slow", "same")
HEAD = {"digits": ("dense2", "head"), "hymenoptera": ("head",)}  # the layers made anew


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["digits", "hymenoptera"] = "digits"  # which images
    data_dir: pathlib.Path | None = None  # folder with train/ and val/ of ants and bees
    weights: pathlib.Path | None = None  # torch's ResNet-18 weights (hymenoptera)
    examples: int = 10  # training examples of each new class (digits)
    epochs: int = 40  # passes over the new training set
    body_epochs: int = 20  # passes over the old one (digits)
    batch_size: int = 16  # examples per step
    learning_rate: float = 1e-3  # of Adam, for the head
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: two epochs of everything
    out: pathlib.Path | None = None  # run folder; runs/finetune/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    epochs, body_epochs = (2, 2) if config.smoke else (config.epochs, config.body_epochs)
    key = jax.random.key(config.seed)
    with runs.open(config, name="finetune", out=config.out, resume=config.resume) as run:
        if config.data == "digits":
            splits = dict(data.load("digits").items())
            model: Any = models.LeNet(num_classes=5)
            size, channels = 28, 1
            old = {name: some(split, range(5), 100_000) for name, split in splits.items()}
            fresh = start(model, key, size, channels)
            body, history = learn(config, model, old, fresh, body_epochs, run.part("body"))
            accuracy = history[-1]["test/accuracy"]
            run.note(f"body: {accuracy:.4f} on digits 0-4, all training examples")
            new = {
                "train": some(splits["train"], range(5, 10), config.examples),
                "test": some(splits["test"], range(5, 10), 100_000),
            }
        else:
            if config.weights is None:
                raise ValueError("hymenoptera needs --weights, a file of torch's ResNet-18 weights")
            model, size, channels = models.ResNet18(num_classes=2), 224, 3
            new = dict(data.load("hymenoptera", config.data_dir).items())
            body, report = load_body(config.weights, model, start(model, key, size, channels))
            run.note(str(report))

        head = [f"{name}/*" for name in HEAD[config.data]]
        histories, fresh_key = {}, jax.random.fold_in(key, 1)
        for way in WAYS:
            variables = start(model, fresh_key, size, channels)  # every way has the same new head
            if way != "scratch":
                params, _ = train.load_pretrained(variables["params"], body["params"], fresh=head)
                variables = {**body, "params": params}
            part = run.part(way)
            _, histories[way] = learn(config, model, new, variables, epochs, part, way)
            run.note(f"{way}: {histories[way][-1]['test/accuracy']:.4f}")
        run.figure("ways", plots.compare({way: [history] for way, history in histories.items()}))
        last = {way: history[-1]["test/accuracy"] for way, history in histories.items()}
        numbers = {f"test/accuracy_{way}": value for way, value in last.items()}
        majority = data.majority_share(new["train"]["label"], new["test"]["label"])
        return run.finish({**numbers, "majority/accuracy": majority})


def load_body(path: pathlib.Path, model: Any, variables: dict) -> tuple[dict, weights.LoadReport]:
    """All of a ResNet but its head from a file; half a body would not be a pretrained one."""
    body, report = weights.load(path, model, variables)
    if [name for name in report.missing + report.reshaped if not name.startswith("fc.")]:
        raise ValueError(f"{path} is of another network: {report}")
    return body, report


def start(model: Any, key: jax.Array, size: int, channels: int) -> dict:
    network = objectives.as_network(model)
    params, state = network.init(key, (jnp.zeros((1, size, size, channels)),))
    return {"params": params, **state}


def some(split: data.Dataset, classes: range, most: int) -> data.Dataset:
    """At most so many examples of each class, labels counted from 0."""
    labels = split["label"]
    rows = np.concatenate([np.flatnonzero(labels == k)[:most] for k in classes])
    return data.Dataset({"image": split["image"][rows], "label": labels[rows] - classes[0]})


def learn(
    config: Config,
    model: Any,
    splits: dict,
    variables: dict,
    epochs: int,
    run: train.Recorder,
    way: str = "same",
) -> tuple[dict, list[dict[str, float]]]:
    """Trains the variables in one of the ways; returns them and the rows of the epochs."""
    size = 28 if config.data == "digits" else 224
    params, model_state = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    tx, head = optax.adam(config.learning_rate), HEAD[config.data]
    if way == "frozen":
        tx = optim.freeze_paths(tx, *(f"{name}/*" for name in params if name not in head))
    elif way == "slow":
        tx = optax.chain(tx, optim.scale_by_path({**{f"{name}/*": 1.0 for name in head}, "*": 0.1}))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=functools.partial(data.images.to_unit, size=(size, size)),
    )
    trainer = train.make(objective, tx)
    params = jax.tree.map(jnp.array, params)  # the state's buffers are donated
    result = train.fit(
        trainer,
        splits["train"],
        trainer.init(jax.random.key(config.seed), params=params, model_state=model_state),
        epochs=epochs,
        batch_size=min(config.batch_size, len(splits["train"])),
        seed=config.seed,
        held_out={"test": splits["test"]},
        run=run,
    )
    return {"params": result.state.params, **result.state.model_state}, result.history


if __name__ == "__main__":
    cli.run(main, Config)
