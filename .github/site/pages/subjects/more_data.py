# ---
# title: More data, and knowledge from elsewhere
# rows: ["more data: augmentation", "transfer learning", "augmentation of images, boxes",
#   "fine-tuning"]
# ---

# %% [markdown]
# # More data, and knowledge from elsewhere
#
# A digit moved by a pixel is the same digit. *Augmentation* trains on such copies: flips, crops,
# turns, colors, noise, another draw at every step. Boxes and masks must move along, and only
# changes that keep the answer are allowed: a 6 turned over is a 9. Where the rules of the world are
# known, examples can be drawn altogether, such as characters in many fonts.
#
# *Transfer* takes the body of a network that learned on much data and gives it a new head. With
# little data the body is frozen; with more it is tuned at a small fraction of the head's rate, so
# that what it knows is not washed away:
#
# $$\theta_{\text{body}} \leftarrow \theta_{\text{body}} - \epsilon\, \eta \nabla, \qquad
# \theta_{\text{head}} \leftarrow \theta_{\text{head}} - \eta \nabla, \qquad \epsilon \ll 1$$
#
# What was loaded should be checked by name: weights that were quietly left out train well enough to
# go unnoticed.

# %% alt="Digits beside copies that were turned, moved, scaled and made noisy"
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import data, plots

images = jnp.asarray(data.load("digits")["train"]["image"][:4], jnp.float32) / 255
change = data.images.augmentation(
    functools.partial(
        data.images.random_affine, degrees=20, translate=0.1, scale=(0.8, 1.2)
    ),
    functools.partial(data.images.random_noise, sigma=0.05),
)
rows = [images]
for number in range(5):
    batch = {"image": images, "mask": jnp.ones(4, bool)}
    rows.append(change(jax.random.key(number), batch)["image"])
plots.tiles(np.stack(rows, 1).reshape(-1, 8, 8)[:16])
