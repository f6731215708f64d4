"""The training of `lenet.py` with the whole loop written out, to show that nothing is hidden.

    python -m experiments.by_hand

The same batches, the same steps, the same parameters as
`python -m experiments.lenet --max-shift 0 --driver stream` (a test compares them).
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import optax

from jaxdl import cli, data, losses, metrics, models, runs


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 40  # passes over the training set
    batch_size: int = 32  # examples per step
    learning_rate: float = 3e-3  # of Adam, at the start of a cosine to zero
    seed: int = 0  # of the weights and the order of the data
    smoke: bool = False  # a few seconds: little data, two epochs
    out: pathlib.Path | None = None  # run folder; runs/by_hand/DATE-TIME if not given


def main(config: Config) -> dict[str, float]:
    splits = data.load("digits", limit=256 if config.smoke else None)
    epochs = min(config.epochs, 2) if config.smoke else config.epochs

    # Parameters and the optimizer's state: two pytrees.
    model = models.LeNet(num_classes=10)
    _, init_key = jax.random.split(jax.random.key(config.seed))
    params = model.init(init_key, jnp.zeros((1, 16, 16, 1)), train=False)["params"]
    steps = data.num_steps(len(splits["train"]), config.batch_size, epochs)
    tx = optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps))
    opt_state = tx.init(params)

    def logits_of(params, batch):
        image = batch["image"].astype(jnp.float32) / 255
        image = jax.image.resize(image, (len(image), 16, 16, 1), "linear")
        return model.apply({"params": params}, image, train=True)

    def loss_of(params, batch):
        loss = losses.softmax_cross_entropy(logits_of(params, batch), batch["label"])  # [B]
        mean = metrics.Mean.from_values(loss, batch["mask"])
        return mean.compute(), mean  # total / weight: padding counts for nothing

    @jax.jit
    def train_step(params, opt_state, batch):
        grads, mean = jax.grad(loss_of, has_aux=True)(params, batch)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, mean

    @jax.jit
    def eval_step(params, batch):
        return metrics.Accuracy.from_batch(logits_of(params, batch), batch["label"], batch["mask"])

    with runs.open(config, name="by_hand", out=config.out) as run:
        for epoch in range(epochs):
            mean = metrics.Mean.empty()
            first = epoch * (steps // epochs)
            for batch in data.batches(
                splits["train"], config.batch_size, seed=config.seed, start=first, epochs=epoch + 1
            ):
                params, opt_state, of_batch = train_step(params, opt_state, batch)
                mean = mean.merge(of_batch)
            accuracy = metrics.Accuracy.empty()
            for batch in data.batches(splits["test"], 120):
                accuracy = accuracy.merge(eval_step(params, batch))
            values = {"train/loss": mean.compute(), "test/accuracy": accuracy.compute()}
            numbers = {name: float(value) for name, value in values.items()}
            run.write(first + steps // epochs, {"epoch": epoch + 1, **numbers})
        majority = data.majority_share(splits["train"]["label"], splits["test"]["label"])
        return run.finish({**numbers, "majority/accuracy": majority})


if __name__ == "__main__":
    cli.run(main, Config)
