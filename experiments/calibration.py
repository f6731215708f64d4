"""A network that is too sure of itself: one temperature, fitted on held-out data, mends it.

    python -m experiments.calibration

A large perceptron learns few digits by heart, wrong labels among them. Its decisions stay what they
are; its logits are divided by a temperature that a part of the held-out digits chooses, and another
part says which sets of classes hold the true one nine times of ten. Reliability is drawn before and
after.
Guo et al., On calibration of modern neural networks, 2017; Vovk et al. 2005.
"""

import dataclasses
import pathlib

import jax
import numpy as np
import optax

from jaxdl import classical, cli, data, losses, metrics, models, objectives, plots, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    examples: int = 200  # digits to train on
    mislabeled: float = 0.2  # share of them
    hidden: tuple[int, ...] = (256, 128)  # widths of the hidden layers
    epochs: int = 100  # passes over them
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam
    held_out: float = 0.5  # share of the training set: half for the temperature, half for the sets
    coverage: float = 0.9  # chance that a set holds the true class
    bins: int = 10  # of confidence
    seed: int = 0  # of the weights, the order of the data and the parts
    smoke: bool = False  # a few seconds: few epochs
    out: pathlib.Path | None = None  # run folder; runs/calibration/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    splits = data.load("digits", validation=config.held_out)
    rng = np.random.default_rng(config.seed)
    train_set = splits["train"].take(rng.permutation(len(splits["train"]))[: config.examples])
    right, off = train_set["label"], rng.integers(1, 10, len(train_set))
    wrong = np.where(rng.random(len(off)) < config.mislabeled, (right + off) % 10, right)
    train_set = data.Dataset({**train_set.columns, "label": wrong.astype(right.dtype)})
    model = models.MLP((*config.hidden, len(splits.info.class_names)))
    objective = objectives.supervised(
        model,
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )
    trainer = train.make(objective, optax.adam(config.learning_rate))
    with runs.open(config, name="calibration", out=config.out, resume=config.resume) as run:
        result = train.fit(
            trainer,
            train_set,
            epochs=5 if config.smoke else config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            run=run,
        )

        def logits_of(part: str) -> tuple[np.ndarray, np.ndarray]:
            batch = data.host_batch(splits[part], 0, batch_size=len(splits[part]))
            variables = {"params": result.state.params, **result.state.model_state}
            images = data.images.to_unit(jax.device_put(batch))["image"]
            logits = model.apply(variables, images, train=False)
            return np.asarray(logits), batch["label"]

        held, labels = logits_of("validation")
        test, test_labels = logits_of("test")
        half = len(held) // 2
        temperature = float(classical.fit_temperature(held[:half], labels[:half]))
        results, panels = {"temperature": temperature}, {}
        update = metrics.bootstrap(metrics.CalibrationError.from_batch)
        for name, scale in (("as trained", 1.0), ("with a temperature", temperature)):
            state = metrics.CalibrationError.from_batch(test / scale, test_labels, bins=config.bins)
            error = update(
                test / scale, test_labels, index=np.arange(len(test)), bins=config.bins
            ).compute()
            run.note(f"{name}: calibration error {error}")
            panels[f"{name}: error {error.value:.3f}"] = state.reliability()
            loss = metrics.LogLoss.from_batch(test / scale, test_labels).compute()
            results |= {
                f"{name}/calibration": error.value,
                f"{name}/low": error.low,
                f"{name}/high": error.high,
                f"{name}/test/loss": float(loss),
            }
        chances = [np.asarray(jax.nn.softmax(z / temperature)) for z in (held[half:], test)]
        sets = classical.conformal_sets(
            chances[0], labels[half:], chances[1], coverage=config.coverage
        )
        results["test/accuracy"] = float(np.mean(test.argmax(axis=1) == test_labels))
        results["sets/coverage"] = float(np.mean(sets[np.arange(len(test)), test_labels]))
        results["sets/classes"] = float(sets.sum(axis=1).mean())
        results["majority/accuracy"] = data.majority_share(train_set["label"], test_labels)
        run.figure("reliability", plots.reliability(panels))
        return run.finish(results)


if __name__ == "__main__":
    cli.run(main, Config)
