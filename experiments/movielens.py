"""Ratings predicted by matrix factorisation, AutoRec or neighbours: RMSE on those held out.

    python -m experiments.movielens                                    # an embedded low-rank world
    python -m experiments.movielens --data movielens --data-dir DIR --model autorec

"last" holds out the last rating of every user by time, "random" a share of all; numbers of
different splits do not compare. On MovieLens 100K, five seeds, two busy cores:

    mf --split last                           RMSE 1.031 +- .009   19 s   (published 1.036)
    autorec --learning-rate 1e-3 --l2 4e-3    RMSE  .901 +- .003  132 s   (published  .904)
        --epochs 40
    mf --share .2, three splits, a seed each  RMSE  .937 to .940    6 s   (published  .944, 5-fold)
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import classical, cli, data, losses, metrics, models, runs, train


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["low_rank", "movielens"] = "low_rank"  # which ratings
    data_dir: pathlib.Path | None = None  # folder of a MovieLens set (u.data, ratings.dat or .csv)
    model: Literal["mf", "autorec", "neighbours"] = "mf"  # neighbours: items, shrunk Pearson
    split: Literal["last", "random"] = "random"  # what is held out
    share: float = 0.1  # of all ratings, held out by "random"
    split_seed: int = 0  # of what "random" holds out
    epochs: int = 20  # passes over the training set
    batch_size: int = 64  # ratings per step; items for autorec
    learning_rate: float = 0.005  # of plain descent (mf), of Adam (autorec)
    l2: float = 0.05  # weight of the squared parameters
    factors: int = 30  # of mf
    hidden: int = 500  # units of autorec
    neighbours: int = 40  # of each item
    seeds: int = 5  # of the weights, the order of the data and the dropout
    smoke: bool = False  # a few seconds: two epochs, two seeds
    out: pathlib.Path | None = None  # run folder; runs/movielens/DATE-TIME if not given


PUBLISHED = {("mf", "last"): 1.036, ("mf", "random"): 0.944, ("autorec", "random"): 0.904}


def main(config: Config) -> dict[str, float]:
    if config.seeds < 1 or not config.learning_rate > 0 or config.l2 < 0:
        raise ValueError("seeds and learning_rate must be positive, and l2 not negative")
    world = data.load_interactions(config.data, config.data_dir)
    if config.smoke:
        small: dict[str, Any] = {
            "epochs": 2,
            "seeds": 2,
            "hidden": 16,
            "factors": 4,
            "neighbours": 10,
        }
        config = dataclasses.replace(config, **small)
    if config.split == "last":
        train_set, test_set = data.split_last(world.ratings)
    else:
        train_set, test_set = data.split_random(world.ratings, config.share, config.split_seed)
    splits = {"train": train_set, "test": test_set}
    with runs.open(config, name="movielens", out=config.out, data=splits) as run:
        run.note(f"{world.num_users} users, {world.num_items} items, sparsity {world.sparsity:.4f}")
        fit = {"mf": mf, "autorec": autorec, "neighbours": neighbours}[config.model]
        values = fit(config, world, train_set, test_set)
        mean = np.full(len(test_set), train_set["rating"].mean())
        results = {"test/rmse": values.mean(), "test/rmse_spread": values.std()}
        results["test/rmse_constant"] = rmse(world, mean, test_set)
        if config.data == "movielens" and (config.model, config.split) in PUBLISHED:
            run.note(f"published on 100K: {PUBLISHED[config.model, config.split]}")
        return run.finish(results)


def rmse(world: data.Interactions, predicted: Any, test_set: data.Split) -> np.ndarray:
    """One root of one mean, of ratings `[..., N]` clipped to the scale."""
    scale = world.ratings["rating"].min(), world.ratings["rating"].max()
    error = np.clip(predicted, *scale) - test_set["rating"]
    return np.sqrt(np.mean(np.square(error, dtype=np.float64), axis=-1))


def mf(config: Config, world: Any, train_set: data.Split, test_set: data.Split) -> np.ndarray:
    model = models.MatrixFactorization(world.num_users, world.num_items, config.factors)
    pair, (user, item) = jnp.zeros(1, jnp.int32), (test_set["user"], test_set["item"])
    mean = jnp.float32(train_set["rating"].mean())

    def one(seed: jax.Array) -> jax.Array:
        params, _ = train.linen_init(model, jax.random.key(seed), pair, items=pair)
        fitted, _ = train.pointwise_sgd(
            {**params, "mean": mean},
            {name: train_set[name] for name in ("user", "item", "rating")},
            epochs=config.epochs,
            seed=seed,
            learning_rate=config.learning_rate,
            l2=config.l2,
            batch_size=config.batch_size,
        )
        return mean + models.factor_scores(fitted["user"][user], fitted["item"][item])

    return rmse(world, jax.jit(jax.vmap(one))(jnp.arange(config.seeds)), test_set)


def table(world: data.Interactions, split: data.Split) -> tuple[np.ndarray, np.ndarray]:
    """Ratings `[U, I]`, and which of them there are."""
    ratings = np.zeros((world.num_users, world.num_items), np.float32)
    ratings[split["user"], split["item"]] = split["rating"]
    observed = np.zeros(ratings.shape, bool)
    observed[split["user"], split["item"]] = True
    return ratings, observed


def neighbours(config: Config, world: Any, train_set: data.Split, test_set: data.Split) -> Any:
    predicted = classical.neighbour_ratings(
        *table(world, train_set), by="item", k=config.neighbours, shrinkage=100.0
    )
    return rmse(world, np.asarray(predicted)[test_set["user"], test_set["item"]], test_set)


def autorec(config: Config, world: Any, train_set: data.Split, test_set: data.Split) -> np.ndarray:
    model = models.AutoRec(world.num_users, hidden=config.hidden)
    (x, observed), (y, wanted) = (
        tuple(array.T for array in table(world, split)) for split in (train_set, test_set)
    )  # a row for each item
    seen = data.Split({"x": x, "observed": observed, "y": x, "wanted": observed})
    held = data.Split({"x": x, "observed": observed, "y": y, "wanted": wanted})
    scale = float(world.ratings["rating"].min()), float(world.ratings["rating"].max())

    def objective(params: Any, model_state: Any, batch: Any, key: Any, *, train: bool) -> Any:
        out: Any = model.apply(
            {"params": params}, batch["x"], batch["observed"], train=train, rngs={"dropout": key}
        )
        counted = batch["wanted"] & batch["mask"][:, None]
        loss = metrics.Mean.from_values(losses.squared_error(out, batch["y"]), counted)
        error = metrics.RootMeanSquaredError.from_batch(jnp.clip(out, *scale), batch["y"], counted)
        return loss, Aux({"rmse": error}, model_state)

    def member(hyper: train.Hyper) -> tuple[train.TrainState, train.Step]:
        decay = optax.add_decayed_weights(config.l2, mask=lambda p: jax.tree.map(is_matrix, p))
        tx = optax.chain(decay, optax.adam(config.learning_rate))
        key = jax.random.key(hyper["seed"])
        some = jnp.zeros((1, world.num_users))
        params, _ = train.linen_init(model, key, some, observed=some > 0)
        state = train.TrainState.create(params=params, tx=tx, key=key)
        return state, train.make_step(objective, tx)

    result = train.sweep(
        member,
        train.grid(seed=range(config.seeds)),
        seen,
        epochs=config.epochs,
        batch_size=min(config.batch_size, len(seen)),
        eval_step=train.make_eval(objective),
        held_out={"test": held},
    )
    return result.final("test/rmse")


def is_matrix(leaf: jax.Array) -> bool:
    return leaf.ndim > 1


Aux = train.Aux

if __name__ == "__main__":
    cli.run(main, Config)
