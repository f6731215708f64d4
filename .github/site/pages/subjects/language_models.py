# ---
# title: Language models
# rows: ["language models, n-grams", "clipping, perplexity, teacher", "Laplace smoothing"]
# ---

# %% [markdown]
# # Language models
#
# A language model gives a probability to the next word, $P(w_t \mid w_1, \dots, w_{t-1})$. An
# *n-gram* model counts: how often did this word follow these $n - 1$? Most combinations never
# occurred, so the counts are smoothed, and orders are mixed so that the rare ones fall back on
# shorter contexts,
#
# $$\hat P(w) = \frac{n(w) + \epsilon_1 / V}{n + \epsilon_1}, \qquad
# \hat P(w \mid u) = \frac{n(u, w) + \epsilon_2 \hat P(w)}{n(u) + \epsilon_2}$$
#
# A recurrent model carries a state instead of counting, and has no fixed $n$. It is trained on the
# true words of the past (*teacher forcing*), in windows cut from the text, either at random places
# or side by side so that the state goes on. Models are compared by *perplexity*, $\exp(\text{mean
# cross entropy per token})$: the number of words between which it hesitates. The mean is over all
# tokens of a text that was held out; perplexities of different vocabularies cannot be compared.

# %% alt="Counts of words and of pairs against their rank, both logarithmic: nearly straight lines"
import collections
import itertools

from jaxdl import data, plots

texts = data.text.joined(data.load("manual"))
tokens = data.text.words(texts["train"])
counts = [sorted(collections.Counter(tokens).values(), reverse=True)]
pairs = collections.Counter(itertools.pairwise(tokens))
counts.append(sorted(pairs.values(), reverse=True))
plots.rank_frequency(counts, ["words", "pairs of words"])
