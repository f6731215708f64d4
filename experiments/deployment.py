"""A trained model leaves: one file that answers without jaxdl, with its labels and preprocessing.

    python -m experiments.deployment

Trains a small classifier of digits, writes it as StableHLO by `jax.export` for any batch size and
for CPU, CUDA and TPU, and lets a fresh process that imports nothing but JAX read the file and
answer. It has to say the same as the model in memory.
"""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import export

from jaxdl import cli, data, losses, metrics, models, objectives, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 10  # passes over the digits
    seed: int = 0  # of weights and order
    smoke: bool = False  # a few seconds: one epoch
    out: pathlib.Path | None = None  # run folder; runs/deployment/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


# What is run elsewhere: nothing of jaxdl, nothing of Flax.
READER = """
import json, pathlib, sys
import jax, numpy as np
folder = pathlib.Path(sys.argv[1])
model = jax.export.deserialize((folder / "model.stablehlo").read_bytes())
names = json.loads((folder / "labels.json").read_text())
probabilities = np.asarray(model.call(np.load(folder / "images.npy")))
np.save(folder / "answers.npy", probabilities)
assert not [name for name in sys.modules if name.startswith(("jaxdl", "flax"))]
print([names[k] for k in probabilities.argmax(axis=1)[:10]])
"""


def main(config: Config) -> dict[str, float]:
    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError("jax.export writes files with flatbuffers: pip install flatbuffers")
    splits = data.load("digits")
    model = models.LeNet(num_classes=10)
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=prepare,
    )
    with runs.open(
        config, name="deployment", out=config.out, resume=config.resume, data=splits
    ) as run:
        trainer = train.make(objective, optax.adam(1e-3))
        result = train.fit(
            trainer,
            splits["train"],
            epochs=1 if config.smoke else config.epochs,
            batch_size=64,
            seed=config.seed,
            run=run,
        )
        params = result.state.params

        def answer(images: jax.Array) -> jax.Array:
            """Probabilities `[B, 10]` of raw images `[B, 8, 8, 1]`, bytes from 0 to 16."""
            inputs = prepare({"image": images})["image"]
            logits: Any = model.apply({"params": params}, inputs, train=False)
            return jax.nn.softmax(logits)

        (batch,) = export.symbolic_shape("batch")
        wanted = jax.ShapeDtypeStruct((batch, 8, 8, 1), jnp.uint8)
        exported = export.export(jax.jit(answer), platforms=("cpu", "cuda", "tpu"))(wanted)
        path = run.folder / "model.stablehlo"
        path.write_bytes(exported.serialize())
        (run.folder / "labels.json").write_text(json.dumps(splits.info.class_names))

        images = splits["test"]["image"]
        np.save(run.folder / "images.npy", images)
        command = [sys.executable, "-c", READER, str(run.folder)]
        elsewhere = subprocess.run(command, capture_output=True, text=True, check=True)
        run.note(f"a process without jaxdl reads {elsewhere.stdout.strip()}")
        answers = np.load(run.folder / "answers.npy")
        here = np.asarray(jax.jit(answer)(images))
        one = np.asarray(exported.call(images[:1]))  # the batch size is the caller's
        labels = splits["test"]["label"]
        return run.finish(
            {
                "test/accuracy": float((answers.argmax(axis=1) == labels).mean()),
                "majority/accuracy": data.majority_share(splits["train"]["label"], labels),
                "largest difference": float(np.abs(answers - here).max()),
                "largest difference, batch of one": float(np.abs(one - here[:1]).max()),
                "kilobytes": path.stat().st_size / 1e3,
            }
        )


def prepare(batch: dict) -> dict:
    """Images to [0, 1], twice as large."""
    return data.images.to_unit(batch, size=(16, 16))


if __name__ == "__main__":
    cli.run(main, Config)
