# ---
# title: Deep convolutional networks
# rows: ["AlexNet, VGG", "batch normalization", "ResNet, DenseNet"]
# ---

# %% [markdown]
# # Deep convolutional networks
#
# Ten years of image recognition in a paragraph. AlexNet went deep on GPUs with rectifiers and
# dropout. VGG built everything from 3x3 kernels in blocks. NiN put small dense networks, 1x1
# convolutions, at every pixel and a global mean at the end in place of dense layers. GoogLeNet ran
# kernels of several sizes side by side. *Batch normalization* made all of these easier to train:
# each channel is brought to mean 0 and variance 1 over the batch, then scaled and shifted by
# learned numbers,
#
# $$y = \gamma\, \frac{x - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}} + \beta$$
#
# and when evaluating, running averages take the place of the batch's. Libraries disagree about
# which variance that is and what "momentum" means; the tables under *who does what* have them.
#
# ResNet then let each block learn only a *correction*, $x + f(x)$, so that gradients have a way
# round, and a hundred layers train as easily as ten. DenseNet joins what earlier layers found
# instead of adding to it.

# %% alt="Millions of parameters of seven networks: VGG-16 has by far the most"
import functools

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from jaxdl import models

networks = {
    "AlexNet": (models.AlexNet, 224),
    "VGG-16": (models.VGG16, 224),
    "NiN": (models.NiN, 224),
    "GoogLeNet": (models.GoogLeNet, 224),
    "ResNet-18": (models.ResNet18, 224),
    "ResNet-50": (models.ResNet50, 224),
    "DenseNet-121": (models.DenseNet121, 224),
}
counts = {}
for name, (network, side) in networks.items():
    init = functools.partial(network(num_classes=1000).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    counts[name] = (
        sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) / 1e6
    )
figure = Figure(figsize=(7, 3), layout="constrained")
axes = figure.add_subplot()
axes.bar_label(
    axes.barh(list(counts), list(counts.values())), fmt="%.1f", padding=3
)
axes.set(xlabel="parameters (millions), 1000 classes", xlim=(0, 160))
axes.invert_yaxis()
figure
