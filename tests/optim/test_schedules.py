"""Schedules are torch's, or the formula; their length is known."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import optim
from tests.references import reference

torch = reference("torch")
S = torch.optim.lr_scheduler


def values(schedule, n=12):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(n)))


def torchs(make, n=12, rate=0.4):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants a step of the optimizer first, and more
        scheduler = make(optimizer)
        rates = []
        for _ in range(n):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    return rates


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (optim.constant_rate(0.4), lambda o: S.ConstantLR(o, factor=1.0)),
        (optim.step_decay(0.4, every_steps=3, factor=0.1), lambda o: S.StepLR(o, 3, gamma=0.1)),
        (
            optim.milestones(0.4, at_steps=[2, 7], factor=0.5),
            lambda o: S.MultiStepLR(o, [2, 7], gamma=0.5),
        ),
        (
            optim.cosine_decay(0.4, decay_steps=11, end=0.01),
            lambda o: S.CosineAnnealingLR(o, 11, eta_min=0.01),
        ),
        (
            optim.linear_decay(0.4, decay_steps=8),
            lambda o: S.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=8),
        ),
        (
            optim.warmup_cosine_decay(0.4, warmup_steps=4, cosine_steps=7, start=0.1),
            lambda o: S.SequentialLR(
                o,
                [S.LinearLR(o, 0.25, 1.0, total_iters=4), S.CosineAnnealingLR(o, 7)],
                milestones=[4],
            ),
        ),
        (
            optim.warmup_linear_decay(0.4, warmup_steps=4, linear_steps=7, start=0.1),
            lambda o: S.SequentialLR(
                o,
                [S.LinearLR(o, 0.25, 1.0, total_iters=4), S.LinearLR(o, 1.0, 0.0, total_iters=7)],
                milestones=[4],
            ),
        ),
        (
            optim.inverse_time(2.0, b_steps=5.0),
            lambda o: S.LambdaLR(o, lambda t: 5.0 / (5.0 + t)),  # 0.4 = 2 / 5
        ),
        (
            optim.epochs(optim.cosine_decay(0.4, decay_steps=4), steps_per_epoch=3),
            lambda o: S.LambdaLR(o, lambda t: (1 + np.cos(np.pi * (t // 3) / 4)) / 2),
        ),
        (
            optim.epochs(optim.linear_decay(0.4, decay_steps=4), steps_per_epoch=3, smooth=True),
            lambda o: S.LinearLR(o, 1.0, 0.0, total_iters=12),
        ),
    ],
)
def test_schedules_are_torchs(ours, theirs):
    np.testing.assert_allclose(values(ours), torchs(theirs), atol=1e-6)


def test_momentum_ramps_and_stays():
    ramp = values(optim.momentum_ramp(ramp_steps=4), 7)
    np.testing.assert_allclose(ramp, [0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9], atol=1e-6)


def test_what_is_over_stays_at_its_end():
    over = values(optim.warmup_cosine_decay(1.0, warmup_steps=2, cosine_steps=3, end=0.2), 9)
    np.testing.assert_allclose(over[5:], 0.2, atol=1e-6)


def test_a_schedule_takes_a_traced_rate():
    peaks = jnp.array([0.1, 0.2])
    rates = jax.vmap(
        lambda peak: optim.warmup_cosine_decay(peak, warmup_steps=2, cosine_steps=4)(2)
    )(peaks)
    np.testing.assert_allclose(rates, peaks)


def test_t7_a_schedule_shorter_than_the_run_is_refused():
    """Thirty epochs are not thirty steps."""
    cosine = optim.cosine_decay(0.1, decay_steps=30)
    with pytest.raises(ValueError, match=r"ends after 30 steps but the run takes 1350.*epochs"):
        optim.check_length(cosine, 1350)
    optim.check_length(optim.epochs(cosine, 45), 1350)
    with pytest.raises(ValueError, match="1349"):
        optim.check_length(optim.warmup_linear_decay(0.1, warmup_steps=9, linear_steps=1340), 1350)
    for endless in (0.1, optim.inverse_time(1.0, b_steps=2), optax.cosine_decay_schedule(0.1, 3)):
        optim.check_length(endless, 1350)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: optim.cosine_decay(0.1, decay_steps=0), "decay_steps"),
        (lambda: optim.step_decay(0.1, every_steps=0, factor=0.5), "every_steps"),
        (lambda: optim.milestones(0.1, at_steps=[3, 2], factor=0.5), "at_steps"),
        (lambda: optim.inverse_time(0.1, b_steps=0), "b_steps"),
        (lambda: optim.warmup_cosine_decay(0.1, warmup_steps=-1, cosine_steps=3), "warmup_steps"),
        (lambda: optim.momentum_ramp(ramp_steps=0), "ramp_steps"),
        (lambda: optim.epochs(optim.constant_rate(0.1), 0), "steps_per_epoch"),
    ],
)
def test_lengths_out_of_range_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()


@pytest.mark.parametrize("every", [3, 1000, 10**6])
def test_steps_are_counted_past_a_float32(every):
    """A step above 2^24, as a float32, may be another one: a decay would come a step early."""
    k = 50_000_000 // every
    schedule = jax.jit(optim.step_decay(1.0, every_steps=every, factor=1 - 1e-6))
    at = lambda step: (1 - 1e-6) ** (step // every)  # noqa: E731
    for step in (k * every - 1, k * every, k * every + every - 1):
        np.testing.assert_allclose(
            schedule(step), np.float32(1 - 1e-6) ** float(step // every), rtol=2e-4
        )
    assert schedule(k * every - 1) != schedule(k * every) or at(k * every - 1) == at(k * every)
    assert schedule(k * every) == schedule(k * every + every - 1)


def test_warmup_stable_decay_is_three_lines():
    schedule = optim.warmup_stable_decay(
        0.4, warmup_steps=4, stable_steps=10, decay_steps=5, start=0.1, end=0.05
    )
    want = np.interp(np.arange(25), [0, 4, 14, 19], [0.1, 0.4, 0.4, 0.05])
    np.testing.assert_allclose([float(schedule(s)) for s in range(25)], want, rtol=1e-5)
    optim.check_length(schedule, 19)
    with pytest.raises(ValueError, match="ends after 19 steps"):
        optim.check_length(schedule, 20)
    short = optim.warmup_stable_decay(1.0, warmup_steps=0, stable_steps=0, decay_steps=2)
    assert [float(short(s)) for s in range(3)] == [1.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="stable_steps must not be negative"):
        optim.warmup_stable_decay(1.0, warmup_steps=0, stable_steps=-1, decay_steps=2)
