# ---
# title: Image filters and edges
# rows: ["thin lens", "differences, Prewitt"]
# ---

# %% [markdown]
# # Image filters and edges
#
# Before networks learned kernels, people designed them. Averaging with a Gaussian $h(i, j) \propto
# \exp(-(i^2 + j^2) / 2\sigma^2)$ smooths noise and blurs edges; the median removes specks and keeps
# edges; an image minus its blur is what is fine in it, and adding that back sharpens.
#
# Edges are where brightness changes. A central difference estimates the slope, Prewitt and Sobel
# average across it, which makes them less noisy:
#
# $$S_x = \begin{pmatrix} -1 & 0 & 1 \\ -2 & 0 & 2 \\ -1 & 0 & 1 \end{pmatrix}, \qquad
# |\nabla| = \sqrt{S_x^2 + S_y^2}$$
#
# *Canny* goes on: smooth, take slopes, keep only the crest of each slope, and follow edges from
# strong pixels through weak ones. Before all this an image comes through a lens, $1/f = 1/u + 1/v$,
# and is cut into a finite number of levels.

# %% alt="A photograph of a temple: gray, blurred, in five levels, sharpened, its slopes, its edges"
import jax.numpy as jnp
from sklearn.datasets import load_sample_image

from jaxdl import ops, plots

photograph = jnp.asarray(load_sample_image("china.jpg")[:256, 150:450])
gray = ops.rgb_to_grayscale(photograph.astype(jnp.float32) / 255)
views = {
    "gray": gray,
    "Gaussian, sigma 2": ops.gaussian_filter(gray, 2.0),
    "five levels": ops.quantize(gray, 5),
    "unsharp mask": ops.unsharp_mask(gray, 2.0, 1.5),
    "Sobel": ops.gradient_magnitude(ops.sobel(gray)),
    "Canny": ops.canny(gray, 1.5),
}
plots.gallery(views, columns=3)
