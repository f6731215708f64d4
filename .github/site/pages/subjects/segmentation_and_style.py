# ---
# title: Segmentation and style
# rows: ["segmentation by FCN", "style transfer", "resizing, noise, equalization"]
# ---

# %% [markdown]
# # Segmentation and style
#
# *Segmentation* gives every pixel a class. A fully convolutional network keeps the map of a
# classifier instead of flattening it, and brings it back to the size of the image by transposed
# convolutions that start as bilinear interpolation. Adding finer maps on the way up brings back the
# edges. Pixel accuracy flatters, since most pixels are background; the mean over the classes of
# intersection over union does not:
#
# $$\text{mIoU} = \frac1K \sum_k \frac{n_{kk}}{\sum_j n_{kj} + \sum_j n_{jk} - n_{kk}}$$
#
# *Style transfer* trains no network at all: it descends on the pixels. Content is what the deep
# layers of a trained network see; style is which of its channels answer together, the Gram matrix
# $G = F^\top F / (CHW)$ of each layer's map; total variation keeps neighbors alike. The picture
# that is near one photograph in content and near another in style is the result.
#
# Both begin with images of one size and range: resizing, equalizing the histogram, sharpening,
# noise.

# %% alt="Two images of scattered digits beside the class of each of their pixels"
import numpy as np

from jaxdl import data, metrics, plots

split = data.images.scatter_digits(2, split="test", size=(96, 144), seed=1)
truth = split[
    "segmentation"
]  # 0 background, digit + 1 on ink, 255 where nobody can tell
answers = {
    "background everywhere": np.zeros_like(truth),
    "ink found, digit unknown": np.where(truth > 0, 1, 0),
    "right": np.where(truth == 255, 0, truth),
}
for name, answer in answers.items():
    found = metrics.MeanIoU.from_batch(
        answer, truth, num_classes=11, ignore_label=255
    )
    pixels = np.mean((answer == truth)[truth != 255])
    print(f"{name:24} right pixels {pixels:.3f}, mean IoU {found.compute():.3f}")
colors = plots.segmentation_colors(truth)
views = {"image": split["image"][0], "classes": colors[0]}
plots.gallery(
    views | {"another": split["image"][1], "its classes": colors[1]}, columns=2
)
