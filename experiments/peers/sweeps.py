"""Many small trainings: 32 seeds of a digits MLP beside torch, a ridge grid beside scikit-learn.

The results are the mean held-out accuracy of the seeds (to 1 %: the draws differ), and the mean
validation error of the grid.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers._side import Row, Side
from jaxdl import classical, data, losses, metrics, models, objectives, train

EPOCHS, BATCH, SEEDS = 100, 32, 32


def digits() -> tuple[Any, ...]:
    splits = data.load("digits")
    columns = [splits[k][c] for k in ("train", "test") for c in ("image", "label")]
    return splits, *columns


def seeds(smoke: bool) -> Side:
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # the members spread over them
    splits, *_ = digits()
    objective = objectives.supervised(
        models.MLP((128, 10)),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.Accuracy.from_batch},
        preprocess=data.images.to_unit,
    )

    trainer = train.make(objective, optax.adam(1e-3))
    hypers = {"seed": np.arange(2 if smoke else SEEDS)}
    program = train.make_sweep(
        lambda hyper: trainer,  # members differ in their seed alone
        hypers,
        splits["train"],
        epochs=2 if smoke else EPOCHS,
        batch_size=BATCH,
        held_out={"test": splits["test"]},
    )
    accuracy = float(np.mean(program(hypers).final("test/accuracy")))
    return Side(lambda: program(hypers), len(hypers["seed"]), accuracy)


def seeds_torch(smoke: bool) -> Side:
    import torch

    _, x, y, x_test, y_test = digits()
    x, x_test = (torch.tensor(a.reshape(len(a), -1)).float() / 255 for a in (x, x_test))
    y, y_test = torch.tensor(y).long(), torch.tensor(y_test).long()

    def train_one(seed: int) -> float:
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
        )
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for _ in range(2 if smoke else EPOCHS):
            order = torch.randperm(len(x))
            for start in range(0, len(x), BATCH):
                some = order[start : start + BATCH]
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[some]), y[some]).backward()
                optimizer.step()
        with torch.no_grad():
            return float((model(x_test).argmax(1) == y_test).float().mean())

    return Side(lambda: train_one(0), 1, float(np.mean([train_one(seed) for seed in range(3)])))


def grid(smoke: bool) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    rows, columns = (200, 5) if smoke else (20_000, 50)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = (x @ rng.normal(size=columns) + 5 * rng.normal(size=rows)).astype(np.float32)
    most = rows * 4 // 5
    sizes = np.linspace(0.1 * most, most, 4 if smoke else 40).round().astype(int).tolist()
    return x, y, sizes, np.logspace(-2, 4, 4 if smoke else 20)


def ridge(smoke: bool) -> Side:
    x, y, sizes, penalties = grid(smoke)
    folds = classical.growing(classical.k_folds(len(x), 5), sizes)

    def fit(x: Any, y: Any, w: Any) -> Any:
        return classical.ridge_path(x, y, jnp.asarray(penalties), w)[0]

    def score(path: Any, x: Any, y: Any, w: Any) -> Any:
        predicted = jax.vmap(classical.linear, (0, None))(path, x)
        return jax.vmap(classical.mean_squared_error, (0, None, None))(predicted, y, w)

    @jax.jit
    def work(x: Any, y: Any, train: Any, validation: Any) -> Any:
        folds = classical.Folds(train, validation)
        return classical.cross_validate(fit, score, x, y, folds, vectorize="map").validation

    args = [jnp.asarray(a) for a in (x, y, folds.train, folds.validation)]
    fits = 5 * len(sizes) * len(penalties)
    return Side(lambda: work(*args), fits, float(work(*args).mean()))


def ridge_sklearn(smoke: bool) -> Side:
    import joblib
    from sklearn import linear_model, model_selection

    x, y, sizes, penalties = grid(smoke)

    def curve(penalty: float) -> Any:
        return model_selection.learning_curve(
            linear_model.Ridge(penalty),
            x,
            y,
            train_sizes=sizes,
            cv=5,
            scoring="neg_mean_squared_error",
        )[2]

    def work() -> Any:
        return joblib.Parallel(n_jobs=2)(joblib.delayed(curve)(p) for p in penalties)

    return Side(work, 5 * len(sizes) * len(penalties), -float(np.mean(work())))


ROWS = {
    "seeds": Row({"jaxdl": seeds, "torch": seeds_torch}, "seeds", 1e-2),
    "ridge": Row({"jaxdl": ridge, "scikit-learn": ridge_sklearn}, "fits", 1e-3, ("sklearn",)),
}
