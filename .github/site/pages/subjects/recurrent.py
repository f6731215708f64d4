# ---
# title: Recurrent networks
# rows: ["recurrent network, forward", "back-propagation through time", "LSTM and GRU", "forecasts", "GRU, LSTM,
#   deep"]
# ---

# %% [markdown]
# # Recurrent networks
#
# A recurrent network reads a sequence one step at a time and carries a state along:
#
# $$h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b), \qquad o_t = W_{hq} h_t + c$$
#
# Unrolled, it is a deep network with the same weights in every layer, and *back-propagation through
# time* is back-propagation through that. The gradient with respect to a state $k$ steps ago has
# $W_{hh}^k$ in it, so it vanishes or explodes with the distance: what was long ago cannot be
# learned from, or one step throws everything over. Clipping the norm of the gradient deals with the
# second.
#
# Gates deal with the first. A *GRU* mixes the old state with a candidate, $h_t = z_t \odot h_{t-1}
# + (1 - z_t) \odot \tilde h_t$, and where the gate $z$ is near one the gradient passes unchanged.
# An *LSTM* has a separate memory cell with gates for forgetting, writing and reading. Layers can be
# stacked, and a second network can read backwards where the whole sequence is there.

# %% alt="Size of the gradient against the distance in time, for recurrent matrices that shrink, keep and grow"
import jax
import jax.numpy as jnp

from jaxdl import inspect, plots

key = jax.random.key(0)
norms = {}
for scale in (0.8, 1.0, 1.2):
    W = (
        scale * jnp.linalg.qr(jax.random.normal(key, (16, 16)))[0]
    )  # turns, and scales
    V = jax.random.normal(key, (4, 16)) / 4
    d_outputs = jnp.zeros((40, 4)).at[-1].set(1.0)
    gradients = inspect.linear_state_gradients(W, V, d_outputs)
    norms[f"scale {scale:g}"] = jnp.linalg.norm(gradients, axis=1)[::-1]
plots.gradient_by_distance(norms)
