# ---
# title: Object detection
# rows: ["anchors, overlap", "non-maximum suppression", "single-shot detection", "R-CNN and Fast"]
# ---

# %% [markdown]
# # Object detection
#
# A detector says what is where: boxes with classes. It lays a grid of *anchors* of several sizes
# and shapes over the image and asks of each whether it holds an object, and by how much it should
# move. Overlap is measured as intersection over union,
#
# $$\text{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|}$$
#
# An anchor that overlaps an object enough is matched to it, and every object gets its best anchor
# in any case. The network learns offsets relative to the anchor's size, so that large and small
# boxes are equally hard. Nearly all anchors are background: only the hardest of them count in the
# loss (hard negative mining), or easy ones count little (focal loss). In the end several anchors
# find the same object, and *non-maximum suppression* keeps the surest of those that overlap.
#
# A single-shot detector does this in one pass on several feature maps. R-CNN and its descendants
# look twice: propose regions, cut each out of the feature map at one size (RoI pooling), and
# classify it. Detectors are judged by mean average precision; how many anchors are right says
# nothing.

# %% alt="Digits over a photograph with the anchors that were matched to them, and the true boxes"
import jax.numpy as jnp
import numpy as np

from jaxdl import data, ops, plots

split = data.images.scatter_digits(2, split="test", size=(128, 192), seed=1)
boxes, classes = jnp.asarray(split["boxes"]), jnp.asarray(split["classes"])
grids, sides = [(16, 24), (8, 12)], [[0.2, 0.28], [0.4, 0.57]]
anchors = ops.pyramid_anchor_boxes(grids, sides, [[1.0, 2.0, 0.5]] * 2, aspect=1.5)
targets = ops.anchor_targets(anchors, boxes, classes, iou_threshold=0.5)
matched = [np.asarray(anchors)[np.asarray(keep)] for keep in targets.positive]
titles = [f"{len(found)} of {len(anchors)} anchors" for found in matched]
plots.framed(
    split["image"], matched, truth=split["boxes"], titles=titles, columns=2
)
