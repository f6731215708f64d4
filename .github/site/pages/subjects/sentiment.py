# ---
# title: Sentiment of a text
# rows: ["sentiment by recurrent"]
# ---

# %% [markdown]
# # Sentiment of a text
#
# Is a review kind or not? The words are turned into vectors, which were trained on more text than
# there are reviews, and a network reads them. A *bidirectional LSTM* reads from both ends and joins
# the last states. A *textCNN* slides kernels of three, four and five words over the text and keeps
# the strongest answer of each,
#
# $$c_k = \max_t \; \text{relu}(w_k \cdot x_{t : t + h} + b_k)$$
#
# so it finds phrases wherever they stand. It trains faster and is about as good.
#
# Texts have different lengths; they are padded to one, and the mask says where a text ends. Whoever
# reads the last *position* instead of the last *word* reads padding: more padding must not change
# an answer, and a test says that it does not.

# %% alt="Score of a text against the padding after it: flat for a reader of lengths"
import jax
import numpy as np
from matplotlib.figure import Figure

from jaxdl import models

model = models.GRUClassifier(vocab_size=100, num_classes=2, embed_dim=16)
text = np.asarray(jax.random.randint(jax.random.key(0), (1, 12), 1, 100))
variables = model.init(jax.random.key(1), text, train=False)


def score(padded):
    return float(model.apply(variables, padded, train=False)[0, 1])


lengths = [0, 4, 8, 16, 32]
known = [score(np.pad(text, ((0, 0), (0, n)))) for n in lengths]  # 0 is padding
taken_for_words = [
    score(np.pad(text, ((0, 0), (0, n)), constant_values=99)) for n in lengths
]
figure = Figure(figsize=(6, 2.8), layout="constrained")
axes = figure.add_subplot()
axes.plot(lengths, known, marker="o", label="padding is known as such")
axes.plot(
    lengths, taken_for_words, "--", marker="s", label="padding is read as words"
)
axes.set(xlabel="positions of padding", ylabel="score (logit), untrained")
axes.legend(frameon=False)
figure
