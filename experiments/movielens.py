"""Ratings predicted by means, neighbors, matrix factorization and AutoRec: one table of RMSE.

    python -m experiments.movielens                                    # an embedded low-rank world
    python -m experiments.movielens --data movielens --data-dir DIR --models mf --split folds

"last" holds out the last rating of every user by time, "random" a share of all, "folds" each fifth
in turn; numbers of different splits do not compare. --choose holds out a part of the training set
instead, by the same rule: AutoRec's epochs and l2 were chosen so, with one seed, in the paper's
form (`--autorec.no-center`).
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, objectives, optim, plots, recommenders, runs, train

Name = Literal["users", "items", "mf", "autorec"]
ONCE = ("factors", "epochs")  # what a pass over the data does not depend on
PUBLISHED = {("mf", "last"): 1.036, ("mf", "folds"): 0.944, ("autorec", "random"): 0.904}  # 100K


@dataclasses.dataclass(frozen=True)
class Neighbors:
    k: int = 40  # nearest who rated the item, or nearest items
    shrinkage: float = 100.0  # of correlations over few common ratings


@dataclasses.dataclass(frozen=True)
class Factors:
    epochs: int = 20  # passes over the training set
    batch_size: int = 64  # ratings per step
    learning_rate: float = 0.005  # of plain descent
    l2: float = 0.05  # weight of the squared rows
    factors: int = 30  # of each user and item


@dataclasses.dataclass(frozen=True)
class AutoRec:
    epochs: int = 40  # passes over the items
    batch_size: int = 64  # items per step
    learning_rate: float = 1e-3  # of Adam
    l2: float = 2e-3  # weight of the squared matrices
    hidden: int = 500  # units
    center: bool = True  # take the mean of the training ratings off; not so in the paper


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["low_rank", "movielens"] = "low_rank"  # which ratings
    data_dir: pathlib.Path | None = None  # folder of a MovieLens set (u.data, ratings.dat or .csv)
    models: tuple[Name, ...] = ("users", "items", "mf", "autorec")  # beside the means
    split: Literal["last", "random", "folds"] = "random"  # what is held out
    share: float = 0.1  # of all ratings, held out by "random"
    split_seed: int = 0  # of what "random" and "folds" hold out
    choose: bool = False  # hold out a part of the training set: to choose settings
    seeds: int = 5  # of the weights, the order of the data and the dropout
    neighbors: Neighbors = Neighbors()  # users, items
    mf: Factors = Factors()  # matrix factorization
    autorec: AutoRec = AutoRec()  # auto-encoder of items
    smoke: bool = False  # a few seconds: two epochs, two seeds
    out: pathlib.Path | None = None  # run folder; runs/movielens/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def main(config: Config) -> dict[str, float]:
    for part in (config.mf, config.autorec):
        if config.seeds < 1 or not part.learning_rate > 0 or part.l2 < 0:
            raise ValueError("seeds and learning_rate must be positive, and l2 not negative")
    if config.smoke:
        mf = dataclasses.replace(config.mf, epochs=2, factors=4)
        small = dataclasses.replace(config.autorec, epochs=2, hidden=16)
        config = dataclasses.replace(config, seeds=2, mf=mf, autorec=small)
    world = recommenders.Interactions.from_splits(data.load(config.data, config.data_dir))
    with runs.open(
        config, name="movielens", out=config.out, resume=config.resume, data={"all": world.ratings}
    ) as run:
        run.note(f"{world.num_users} users, {world.num_items} items, sparsity {world.sparsity:.4f}")
        fits: dict[str, Any] = {
            "users": functools.partial(neighbors, "user"),
            "items": functools.partial(neighbors, "item"),
            "mf": factors,
            "autorec": autoencoder,
        }
        errors: dict[str, list[np.ndarray]] = {}  # squared, of one split [S, N], by model
        counts = []  # how often each item held out is in the training set
        for fold, (train_set, test_set) in enumerate(held_out(config, world.ratings)):
            predicted = means(world, train_set, test_set)
            for model in config.models:
                recorder = run.part(f"{model}-{fold}")
                predicted[model] = fits[model](config, recorder, world, train_set, test_set)
            for name, ratings in predicted.items():
                error = np.clip(ratings, *world.scale) - test_set["rating"]
                errors.setdefault(name, []).append(np.square(error, dtype=np.float64))
            count = np.bincount(train_set["item"], minlength=world.num_items)
            counts.append(count[test_set["item"]])
        rmse = {n: np.ravel([np.sqrt(e.mean(1)) for e in parts]) for n, parts in errors.items()}
        mean, biases = (rmse[name].mean() for name in ("mean", "biases"))
        for name, values in rmse.items():
            known = PUBLISHED.get((name, config.split)) if config.data == "movielens" else None
            beside = f"   published on 100K {known}" if known else ""
            if name in config.models:
                beside = f"   the mean {mean:.4f}, biases {biases:.4f}{beside}"
            run.note(f"{name:8} RMSE {values.mean():.4f} +- {values.std():.4f}{beside}")
        for name in config.models:
            if warning := below(name, rmse[name].mean(), mean, biases):
                run.note(warning)
        of_each = {n: np.concatenate([e.mean(0) for e in parts]) for n, parts in errors.items()}
        figure = plots.by_popularity(np.concatenate(counts), of_each, "RMSE", after=np.sqrt)
        run.figure("popularity", figure)
        results = {f"test/{name}": values.mean() for name, values in rmse.items()}
        return run.finish(results | {f"spread/{name}": v.std() for name, v in rmse.items()})


def held_out(config: Config, ratings: data.Dataset) -> list[tuple[data.Dataset, data.Dataset]]:
    def cut(ratings: data.Dataset) -> list[tuple[data.Dataset, data.Dataset]]:
        if config.split == "folds":
            return recommenders.split_folds(ratings, 5, config.split_seed)
        if config.split == "last":
            return [recommenders.split_last(ratings)]
        return [recommenders.split_random(ratings, config.share, config.split_seed)]

    return [cut(train_set)[0] for train_set, _ in cut(ratings)] if config.choose else cut(ratings)


def below(name: str, error: float, mean: float, biases: float) -> str:
    """A sentence where a model is worse than what needs none, nothing otherwise."""
    for baseline, value in (("the mean of all ratings", mean), ("biases alone", biases)):
        if error > value:
            return f"warning: {name} is worse than {baseline}, RMSE {error:.4f} for {value:.4f}"
    return ""


def means(world: Any, train_set: data.Dataset, test_set: data.Dataset) -> dict[str, np.ndarray]:
    """What needs no model: the mean of all ratings, that of the item, and damped biases."""
    user, item, rating = (train_set[name] for name in ("user", "item", "rating"))
    mean, size = rating.mean(dtype=np.float64), np.bincount(item, minlength=world.num_items)
    total = np.bincount(item, rating, world.num_items)
    of_item = np.where(size > 0, total / np.maximum(size, 1), mean)
    of_user = np.bincount(user, minlength=world.num_users)
    b_user, b_item = np.zeros(world.num_users), np.zeros(world.num_items)
    for _ in range(10):  # in turn, with the damping of Koren (2010)
        b_item = np.bincount(item, rating - mean - b_user[user], len(b_item)) / (10 + size)
        b_user = np.bincount(user, rating - mean - b_item[item], len(b_user)) / (15 + of_user)
    return {
        "mean": np.full((1, len(test_set)), mean),
        "item": of_item[test_set["item"]][None],
        "biases": (mean + b_user[test_set["user"]] + b_item[test_set["item"]])[None],
    }


def neighbors(
    by: Any, config: Config, run: Any, world: Any, train_set: Any, test_set: Any
) -> np.ndarray:
    options = dataclasses.asdict(config.neighbors)
    predicted = recommenders.neighbor_ratings(*world.table(train_set), by=by, **options)
    return np.asarray(predicted)[None, test_set["user"], test_set["item"]]


def factors(config: Config, run: Any, world: Any, train_set: Any, test_set: Any) -> np.ndarray:
    model = recommenders.MatrixFactorization(world.num_users, world.num_items, config.mf.factors)
    descent = {n: v for n, v in dataclasses.asdict(config.mf).items() if n not in ONCE}
    network, pair = objectives.as_network(model), jnp.zeros(1, jnp.int32)
    seeds = jnp.arange(config.seeds)
    known = {name: jnp.asarray(train_set[name]) for name in ("user", "item", "rating")}
    mean = jnp.mean(known["rating"])

    @jax.jit
    def epoch(members: Any, known: Any, k: int) -> Any:
        def one(params: Any, seed: jax.Array) -> Any:
            return recommenders.pointwise_sgd(
                params, known, seed=seed, epochs=1, first_epoch=k, **descent
            )

        return jax.vmap(one)(members, seeds)

    def block(members: Any, k: int) -> tuple[Any, dict[str, float]]:
        members, losses = epoch(members, known, k)
        return members, {"epoch": k + 1, "train/loss": float(losses.mean())}

    def start(seed: jax.Array) -> Any:
        return {**network.init(jax.random.key(seed), (pair, pair))[0], "mean": mean}

    first = jax.vmap(start)(seeds)
    train.offer_plan(epoch, first, known, 0)
    members, _ = train.run_blocks(block, first, config.mf.epochs, run=run)
    rows = members["user"][:, test_set["user"]], members["item"][:, test_set["item"]]
    return np.asarray(mean + recommenders.factor_scores(*rows))


def autoencoder(config: Config, run: Any, world: Any, train_set: Any, test_set: Any) -> np.ndarray:
    options = config.autorec
    mean = float(train_set["rating"].mean(dtype=np.float64)) if options.center else 0.0
    model = recommenders.AutoRec(world.num_users, hidden=options.hidden, mean=mean)
    table, observed = (part.T for part in world.table(train_set))  # a row for each item
    rows = data.Dataset({"ratings": table, "observed": observed})
    objective = recommenders.reconstruction(model)
    decay = optax.add_decayed_weights(options.l2, mask=optim.weights_only)
    trainer = train.make(objective, optax.chain(decay, optax.adam(options.learning_rate)))
    fitted = train.sweep(
        lambda hyper: trainer,  # members differ in their seed alone
        train.grid(seed=range(config.seeds)),
        rows,
        epochs=options.epochs,
        batch_size=min(options.batch_size, len(rows)),
        run=run,
    ).states.params
    every = jax.lax.map(lambda p: model.apply({"params": p}, table, observed, train=False), fitted)
    return np.asarray(every)[:, test_set["item"], test_set["user"]]


if __name__ == "__main__":
    cli.run(main, Config)
