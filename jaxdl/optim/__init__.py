"""What optax lacks, made to be chained with it: schedules, groups, plateaus, penalties.

    tx = optim.inject_rate(optax.adam, optim.cosine_decay(1e-3, decay_steps=steps))

Conventions: x parameters, g gradient, r learning rate, e epsilon; every line is tested.

    method    written as                              step                             used by
    momentum  momentum(r, a)                          v = a v + g,    x -= r v         torch, optax
              momentum(r, a, rate_inside=True)        v = a v + r g,  x -= v           books, Keras
    Nesterov  momentum(r, a, nesterov=True)           v = a v + g,    x -= r (g + a v) torch, optax
              + rate_inside=True                      v = a v + r g,  x -= r g + a v   Keras
    AdaGrad   adagrad_from_zero(r)                    x -= r g / (sqrt(s) + e), s0 = 0 Duchi, torch
              adagrad_from_zero(r, eps_in_root=True)  x -= r g / sqrt(s + e),   s0 = 0 D2L
              optax.adagrad(r)                        the same, s0 = 0.1, e = 1e-7     optax, Keras
    RMSProp   optax.rmsprop(r, d, eps_in_sqrt=False)  x -= r g / (sqrt(s) + e)         torch
              optax.rmsprop(r, d)                     x -= r g / sqrt(s + e)   optax, Keras, D2L
    AdaDelta  optax.adadelta(r, rho=p)                x -= r g sqrt(d + e) / sqrt(s + e)   all
    Adam      optax.adam(r)                           x -= r m' / (sqrt(s') + e)   all but Keras
    AdamW     optax.adamw(r, weight_decay=w)          Adam, and x -= r w x             torch, Keras
    coupled   chain(add_decayed_weights(w), adam(r))  Adam of g + w x                  torch's Adam
    Muon      muon(r, adam_learning_rate=q)           x -= r U V' of g + a v = U S V'  torch
    plateau   reduce_lr_on_plateau(patience=p)        reduces at p + 1 bad reports     torch
              reduce_lr_on_plateau(patience=p - 1)    reduces at p                     optax, Keras

Defaults differ more than formulas. The decay d of RMSProp is 0.9 in optax and Keras, 0.99 in torch;
r and rho of AdaDelta are 1 and 0.9 in torch, 0.001 and 0.95 in Keras; the decay w of AdamW is 1e-4
in optax, 0.01 in torch, 0.004 in Keras, and the paper multiplies it by the schedule but not by r.
Keras adds e to sqrt(s) before the correction of the bias: near the start its e counts for more.
A penalty `w/2 sum x^2` in the loss is the coupled form; `mask=optim.weights_only` leaves biases and
norms out of a decay. Schedules count updates: their arguments say `*_steps`; `epochs` converts.
"""

from jaxdl.optim._groups import freeze_paths, groups, path_mask, paths, scale_by_path, weights_only
from jaxdl.optim._muon import muon
from jaxdl.optim._penalties import l1_proximal, l1_subgradient, max_norm
from jaxdl.optim._plateau import PlateauState, halve_when_slow, reduce_lr_on_plateau, report_plateau
from jaxdl.optim._rates import adagrad_from_zero, inject_rate, learning_rates, momentum
from jaxdl.optim._schedules import (
    Schedule,
    check_length,
    constant_rate,
    cosine_decay,
    epochs,
    inverse_time,
    linear_decay,
    milestones,
    momentum_ramp,
    step_decay,
    warmup_cosine_decay,
    warmup_linear_decay,
    warmup_stable_decay,
)

__all__ = [
    "PlateauState",
    "Schedule",
    "adagrad_from_zero",
    "check_length",
    "constant_rate",
    "cosine_decay",
    "epochs",
    "freeze_paths",
    "groups",
    "halve_when_slow",
    "inject_rate",
    "inverse_time",
    "l1_proximal",
    "l1_subgradient",
    "learning_rates",
    "linear_decay",
    "max_norm",
    "milestones",
    "momentum",
    "momentum_ramp",
    "muon",
    "path_mask",
    "paths",
    "reduce_lr_on_plateau",
    "report_plateau",
    "scale_by_path",
    "step_decay",
    "warmup_cosine_decay",
    "warmup_linear_decay",
    "warmup_stable_decay",
    "weights_only",
]
