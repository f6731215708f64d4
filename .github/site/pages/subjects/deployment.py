# ---
# title: A model leaves
# rows: ["deployment of a model"]
# ---

# %% [markdown]
# # A model leaves
#
# A trained model is a function of its inputs with the weights filled in. To be of use elsewhere it
# needs three things beside the weights: the preprocessing that it was trained with, the names of its
# answers, and a program that somebody else's machine can run. Most mistakes in use are of the first
# kind: other sizes, another range, channels in another order.
#
# $$\text{answer}(x) = \text{softmax}(f_\theta(\text{prepare}(x)))$$
#
# `jax.export` writes that whole function, for any batch size and for several platforms, as StableHLO.
# The file is read by JAX alone; neither this library nor the model's code is needed. What comes out
# must be what came out at home, and a file that was not compared is not finished.

# %% alt="Probabilities of ten classes for four digits, by a compiled function that holds its weights"
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxdl import classical, data

splits = data.load("digits")
flat = {
    name: split["image"].reshape(len(split), -1) for name, split in splits.items()
}
params, _ = classical.fit_softmax(
    flat["train"] / np.float32(255), splits["train"]["label"], 1.0, num_classes=10
)


def answer(pixels):
    """Probabilities `[B, 10]` of raw images `[B, 64]`, bytes."""
    return jax.nn.softmax(
        classical.linear(params, pixels.astype(jnp.float32) / 255)
    )


program = jax.jit(answer).lower(jax.ShapeDtypeStruct((4, 64), jnp.uint8)).compile()
images = flat["test"][:4]
figure = Figure(figsize=(7, 2.6), layout="constrained")
for place, probabilities in enumerate(np.asarray(program(images))):
    axes = figure.add_subplot(1, 4, place + 1)
    axes.bar(range(10), probabilities, color="#0072B2")
    axes.set(
        xlabel="digit", ylim=(0, 1), title=f"true: {splits['test']['label'][place]}"
    )
figure.axes[0].set_ylabel("probability")
figure
