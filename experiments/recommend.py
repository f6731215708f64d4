"""What to see next: BPR factorization or NeuMF, ranked over the full catalog, with titles.

    python -m experiments.recommend                                    # an embedded low-rank world
    python -m experiments.recommend --data movielens --data-dir DIR --model neumf --user 196

The last item of every user by time is held out; the others are taken out of the catalog before
it is ranked. Popularity and chance stand beside. With --choose it is the last but one, and the last
is never looked at: NeuMF's epochs and weight decay were chosen so on MovieLens 100K, with one seed.
What is learned from: pairs of a known item and another one (BPR, hinge), or each of the two for
itself, is it known or not (pointwise).
"""

import dataclasses
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import cli, data, losses, metrics, objectives, plots, recommenders, runs, train

Loss = Literal["bpr", "hinge", "pointwise"]


@dataclasses.dataclass(frozen=True)
class Factors:
    epochs: int = 20  # passes over the training set
    batch_size: int = 512  # pairs per step
    learning_rate: float = 0.05  # of plain descent
    l2: float = 0.01  # weight of the squared rows
    factors: int = 30  # of each user and item


@dataclasses.dataclass(frozen=True)
class NeuMF:
    epochs: int = 28  # passes over the training set
    batch_size: int = 1024  # pairs per step
    learning_rate: float = 0.005  # of AdamW
    weight_decay: float = 0.1  # decoupled
    factors: int = 10  # of each table


@dataclasses.dataclass(frozen=True)
class Config:
    data: Literal["low_rank", "movielens"] = "low_rank"  # which ratings
    data_dir: pathlib.Path | None = None  # folder of a MovieLens set (u.data, ratings.dat or .csv)
    model: Literal["mf", "neumf"] = "mf"  # what is trained
    mf: Factors = Factors()  # matrix factorization
    neumf: NeuMF = NeuMF()  # factors beside a perceptron
    loss: Loss = "bpr"  # of a known item beside one that is not
    choose: bool = False  # hold out the last but one of each user instead: to choose settings
    seeds: int = 5  # of the weights, the order of the data and the negatives
    user: int = 1  # whose history and recommendations are printed, by the id of the source
    smoke: bool = False  # a few seconds: two epochs, two seeds
    out: pathlib.Path | None = None  # run folder; runs/recommend/DATE-TIME if not given
    resume: bool = True  # continue an unfinished run of these options; --no-resume begins anew


def pointwise(positive: jax.Array, negative: jax.Array) -> jax.Array:
    """Binary cross entropy of both scores, taken as logits of "the user knows it"."""
    known = losses.sigmoid_cross_entropy(positive, jnp.ones_like(positive))
    return known + losses.sigmoid_cross_entropy(negative, jnp.zeros_like(negative))


LOSSES = {"bpr": losses.bpr_loss, "hinge": losses.pairwise_hinge_loss, "pointwise": pointwise}
ONCE = ("factors", "epochs")  # what a pass is not given as a number
PUBLISHED = "published for NeuMF with BPR on 100K: hit@50 .352, AUC .883"


def main(config: Config) -> dict[str, float]:
    if config.seeds < 1 or min(config.mf.learning_rate, config.neumf.learning_rate) <= 0:
        raise ValueError("seeds and learning_rate must be positive")
    if config.smoke:
        parts = {n: dataclasses.replace(getattr(config, n), epochs=2) for n in ("mf", "neumf")}
        config = dataclasses.replace(config, seeds=2, **parts)
    world = recommenders.Interactions.from_splits(data.load(config.data, config.data_dir))
    shown = world.user(config.user)
    train_set, test_set = recommenders.split_last(world.ratings)
    if config.choose:
        train_set, test_set = recommenders.split_last(train_set)
    known, relevant = (
        recommenders.ItemLists.of(part, world.num_users, world.num_items)
        for part in (train_set, test_set)
    )
    users = jnp.arange(world.num_users)

    def ranked(score: Any, params: Any) -> dict[str, float]:
        ranking = recommenders.rank_catalog(score, params, users, relevant, known, ks=(10, 50))
        return {name: float(value) for name, value in ranking.compute().items()}

    splits = {"train": train_set, "test": test_set}
    with runs.open(
        config, name="recommend", out=config.out, resume=config.resume, data=splits
    ) as run:
        if config.model == "mf":
            score, members, histories = fit_factors(config, world, known, run)
        else:
            score, members, histories = fit_neumf(config, world, train_set, known, relevant, run)
        run.rewind(0)
        for row in zip(*histories, strict=True):
            numbers = {n: np.mean([one[n] for one in row]) for n in row[0] if n != "epoch"}
            run.write(int(row[0]["epoch"]), numbers)
        run.figure("curves", plots.compare({config.model: histories}))
        seeds = [jax.tree.map(lambda x, i=i: x[i], members) for i in range(config.seeds)]
        rows = [ranked(score, params) for params in seeds]
        count = jnp.asarray(np.bincount(train_set["item"], minlength=world.num_items), jnp.float32)
        results: dict[str, float] = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            results[f"test/{name}"] = float(np.mean(values))
            results[f"spread/{name}"] = float(np.std(values))
        for kind, scores in (("popularity", count), ("chance", jnp.zeros_like(count))):
            results |= {f"{kind}/{n}": v for n, v in ranked(same_for_all, scores).items()}
        for name in ("hit@50", "auc"):
            own, popular, chance = (
                results[f"{k}/{name}"] for k in ("test", "popularity", "chance")
            )
            run.note(f"{name:6} {own:.4f}   most popular {popular:.4f}, chance {chance:.4f}")
            if own < popular:
                run.note(f"warning: {config.model} ranks worse than the most popular by {name}")
        best, _ = recommenders.recommend(score, seeds[0], jnp.array([shown]), 10, known)
        mine = train_set.take(train_set["user"] == shown)
        run.note(f"user {config.user} liked:")
        for row in np.argsort(-mine["rating"], kind="stable")[:10]:
            run.note(f"  {mine['rating'][row]:.1f}  {world.title(mine['item'][row])}")
        run.note("and may like:")
        for item in np.asarray(best[0]):
            run.note(f"       {world.title(item)}")
        if config.data == "movielens":
            run.note(PUBLISHED)
        return run.finish(results)


def same_for_all(score: jax.Array, users: jax.Array) -> jax.Array:
    return jnp.broadcast_to(score[None], (len(users), len(score)))


def catalog(model: Any) -> Any:
    return lambda params, users: model.apply({"params": params}, users, method="catalog")


def fit_factors(config: Config, world: Any, known: recommenders.ItemLists, run: runs.Run) -> Any:
    model = recommenders.MatrixFactorization(world.num_users, world.num_items, config.mf.factors)
    descent = {n: v for n, v in dataclasses.asdict(config.mf).items() if n not in ONCE}
    network, pair = objectives.as_network(model), jnp.zeros(1, jnp.int32)
    seeds = jnp.arange(config.seeds)

    @jax.jit
    def epoch(members: Any, known: recommenders.ItemLists, k: int) -> Any:
        def one(params: Any, seed: jax.Array) -> Any:
            return recommenders.pairwise_sgd(
                params, known, seed=seed, epochs=1, first_epoch=k, loss=LOSSES[config.loss],
                **descent,
            )  # fmt: skip

        return jax.vmap(one)(members, seeds)

    def block(carry: Any, k: int) -> tuple[Any, None]:
        members, history = epoch(carry[0], known, k)
        return (members, carry[1].at[:, k].set(history[:, 0])), None

    members = jax.vmap(lambda seed: network.init(jax.random.key(seed), (pair, pair))[0])(seeds)
    train.offer_plan(epoch, members, known, 0)
    empty = jnp.zeros((config.seeds, config.mf.epochs))
    (members, history), _ = train.run_blocks(block, (members, empty), config.mf.epochs, run=run)
    histories = [
        [{"epoch": e + 1.0, "train/loss": float(loss)} for e, loss in enumerate(values)]
        for values in history
    ]
    return catalog(model), members, histories


def fit_neumf(
    config: Config,
    world: Any,
    train_set: data.Dataset,
    known: recommenders.ItemLists,
    relevant: recommenders.ItemLists,
    run: runs.Run,
) -> Any:
    options = config.neumf
    model = recommenders.NeuMF(world.num_users, world.num_items, options.factors)
    objective, score = recommenders.pairwise(model, known, LOSSES[config.loss]), catalog(model)

    def evaluate(state: train.TrainState, batch: Any) -> tuple[train.TrainState, dict[str, Any]]:
        users = batch["user"]
        ranking = metrics.Ranking.from_batch(
            score(state.params, users), relevant.rows(users), batch["mask"], known=known.rows(users)
        )
        return state, {name: ranking.means[name] for name in ("auc", "hit@50")}

    def member(hyper: train.Hyper) -> train.Trainer:
        tx = optax.adamw(options.learning_rate, weight_decay=options.weight_decay)
        return train.make(objective, tx)._replace(evaluate=evaluate)

    result = train.sweep(
        member,
        train.grid(seed=range(config.seeds)),
        data.Dataset({name: train_set[name] for name in ("user", "item")}),
        epochs=options.epochs,
        batch_size=options.batch_size,
        held_out={"test": data.Dataset({"user": np.arange(world.num_users, dtype=np.int32)})},
        eval_batch_size=64,
        run=run,
    )
    return score, result.states.params, [result.rows(i) for i in range(config.seeds)]


if __name__ == "__main__":
    cli.run(main, Config)
