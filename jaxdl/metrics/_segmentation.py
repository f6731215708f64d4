"""Metrics of labeled pixels."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxdl.metrics._classification import ConfusionMatrix


@struct.dataclass
class MeanIoU:
    """Intersection over union of K classes over all pixels of the set, averaged over the classes.

    Classes that neither occur nor were predicted have no IoU and are left out of the mean. Pixel
    accuracy, which background dominates, comes from the same counts.

    >>> predicted, labels = jnp.array([[0, 1, 1, 1]]), jnp.array([[0, 0, 1, 1]])
    >>> MeanIoU.from_batch(predicted, labels, num_classes=2).compute()
    Array(0.583, dtype=float32)
    """

    confusion: ConfusionMatrix

    @classmethod
    def empty(cls, num_classes: int) -> Self:
        return cls(confusion=ConfusionMatrix.empty(num_classes))

    @classmethod
    def from_batch(
        cls,
        outputs: ArrayLike,
        labels: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        num_classes: int | None = None,
        ignore_label: int | None = None,
    ) -> Self:
        """Counts pixels; outputs, labels, mask, num_classes as in `ConfusionMatrix`.

        Args:
            ignore_label: a label that is not counted, 255 for the void of VOC.
        """
        if ignore_label is not None:
            keep = jnp.asarray(labels) != ignore_label
            labels = jnp.where(keep, jnp.asarray(labels), 0)
            if mask is not None:
                keep = _spread(mask, keep.shape) * keep
            mask = keep
        counts = ConfusionMatrix.from_batch(outputs, labels, mask, num_classes=num_classes)
        return cls(confusion=counts)

    def merge(self, other: Self) -> Self:
        return dataclasses.replace(self, confusion=self.confusion.merge(other.confusion))

    def per_class(self) -> jax.Array:
        """IoU `[K]`, NaN for a class that neither occurs nor was predicted."""
        counts = self.confusion.compute()
        both = jnp.diagonal(counts)
        union = jnp.sum(counts, axis=0) + jnp.sum(counts, axis=1) - both
        return jnp.where(union == 0, jnp.nan, both / jnp.where(union == 0, 1.0, union))

    def pixel_accuracy(self) -> jax.Array:
        counts = self.confusion.compute()
        total = jnp.sum(counts)
        return jnp.trace(counts) / jnp.where(total == 0, 1.0, total)

    def compute(self) -> jax.Array:
        iou = self.per_class()
        known = ~jnp.isnan(iou)
        return jnp.sum(jnp.where(known, iou, 0.0)) / jnp.maximum(jnp.sum(known), 1)


def _spread(mask: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """A mask or weights `[B, ...]` over the pixels behind them, in its own dtype."""
    array = jnp.asarray(mask)
    if array.shape != shape[: array.ndim]:
        raise ValueError(f"mask {array.shape} must lead the shape of the labels {shape}")
    return jnp.broadcast_to(array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), shape)
