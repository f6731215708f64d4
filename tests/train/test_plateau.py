"""A rate that follows a held-out number, from one end of the engine to the other."""

import chex
import numpy as np
import optax

from jaxdl import optim, train
from tests.train.problems import Log, blobs, problem


def test_fit_lowers_the_rate_shows_it_and_resumes_it(tmp_path):
    tx = optax.chain(
        optim.inject_rate(optax.sgd, 0.2), optim.reduce_lr_on_plateau(patience=0, absolute=1e9)
    )

    def after_epoch(state, row):
        row.update(optim.learning_rates(state.opt_state))
        reported = optim.report_plateau(state.opt_state, row["train/loss"])
        return state.replace(opt_state=reported)

    def run(folder, *epochs):
        for total in epochs:
            trainer, state = problem(tx)
            with train.Checkpoints(tmp_path / folder) as checkpoints:
                result = train.fit(
                    trainer,
                    blobs(),
                    state,
                    epochs=total,
                    batch_size=16,
                    after_epoch=after_epoch,
                    run=Log(checkpoints),
                )
        return result

    whole, parts = run("whole", 4), run("parts", 2, 4)
    for result in (whole, parts):
        rates = [row["learning_rate"] for row in result.history]
        np.testing.assert_allclose(rates, [0.2, 0.2, 0.02, 0.002], rtol=1e-6)
    chex.assert_trees_all_equal(whole.state.params, parts.state.params)
    chex.assert_trees_all_equal(whole.state.opt_state, parts.state.opt_state)
