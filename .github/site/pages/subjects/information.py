# ---
# title: Information
# rows: ["information: self, joint"]
# ---

# %% [markdown]
# # Information
#
# An event of probability $p$ tells you $-\log p$: rare ones tell much, certain ones nothing, and
# independent ones add up. The *entropy* of a source is the mean of it, the number of bits that its
# messages need at least:
#
# $$H(X) = -\sum_x p(x) \log p(x), \qquad H(X, Y) = H(X) + H(Y \mid X), \qquad
# I(X; Y) = H(X) - H(X \mid Y)$$
#
# *Mutual information* is what one of two says about the other; zero for independent ones. The
# *Kullback-Leibler divergence* $\sum_k p_k \log (p_k / q_k)$ is what it costs to use a code made
# for $q$ on messages from $p$. Cross entropy, the loss of classifiers, is the entropy plus this
# divergence: minimizing it makes $q$ like $p$. It is not symmetric, and infinite where $q$ rules
# out what happens.

# %% alt="Entropy of a coin and its divergence from a fair one, in bits, against the probability of heads"
import jax.numpy as jnp
from matplotlib.figure import Figure

from jaxdl import information

p = jnp.linspace(0, 1, 201)
coin = jnp.stack([p, 1 - p], axis=-1)
figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.add_subplot()
axes.plot(p, information.entropy(coin, base=2), label="entropy of the coin")
fair = jnp.full_like(coin, 0.5)
axes.plot(
    p,
    information.kl_divergence(coin, fair, base=2),
    "--",
    label="divergence from a fair one",
)
axes.set(xlabel="probability of heads", ylabel="bits")
axes.legend(frameon=False)
figure
