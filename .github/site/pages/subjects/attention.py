# ---
# title: Translation and attention
# rows: ["encoder and decoder", "^attention$", "attention alone", "batched products, masked"]
# ---

# %% [markdown]
# # Translation and attention
#
# An *encoder* reads a sentence, a *decoder* writes another one, word by word. Squeezing a whole
# sentence through one vector loses the beginning of long ones. *Attention* lets each written word
# look back at all read ones: a query $q$ is compared with a key for each position, and the values
# are averaged with the softmax of the scores,
#
# $$\text{attend}(q, K, V) = \sum_s \text{softmax}_s\!\left( \frac{q^\top k_s}{\sqrt{d}} \right) v_s$$
#
# or with scores $w^\top \tanh(W_q q + W_k k_s)$ (additive). Positions of padding take no part; a
# query for which nothing is left gets zeros.
#
# While training, the decoder is given the true words. When translating it is given its own, and a
# wrong one costs all that follow. *Greedy* search takes the likeliest word each time; *beam search*
# keeps several beginnings; trying all is only good for checking the others. Scores are divided by a
# power of the length, or short sentences would always win. BLEU counts the word sequences that a
# translation shares with a reference.

# %% alt="What three written words look at among six read ones"
import jax
import jax.numpy as jnp

from jaxdl import plots

words = ["the", "cat", "sat", "on", "the", "mat"]
keys = jax.random.normal(jax.random.key(0), (6, 16))
queries = keys[jnp.array([1, 2, 5])] + 0.3 * jax.random.normal(
    jax.random.key(1), (3, 16)
)
weights = jax.nn.softmax(2 * queries @ keys.T / 4)
plots.attention_maps([weights], [words], [["chat", "assis", "tapis"]], columns=1)
