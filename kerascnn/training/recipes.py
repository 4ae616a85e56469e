"""A recipe: how a network is trained, as data. Each stands beside its architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascnn.space import Param, Range, Space

OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training images, drawn anew for each image and epoch.

    Attributes:
        shift: largest shift, as a fraction of the image's side.
        rotation: largest rotation, in degrees.
        zoom: largest change of size, as a fraction.
        shear: largest horizontal shear, as a fraction of the height.
        flip: whether to mirror left and right.
    """

    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    flip: bool = False

    def scaled(self, factor: float) -> Augmentation:
        """The same changes, `factor` times as strong; mirroring stays as it is."""
        return replace(
            self,
            shift=self.shift * factor,
            rotation=self.rotation * factor,
            zoom=self.zoom * factor,
            shear=self.shear * factor,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the network and the data that decides what training does.

    Attributes:
        optimizer: "sgd" (with `momentum`), "adam" or "adamw".
        learning_rate: at the start, or at the end of the warm-up.
        schedule: "constant", or "cosine" down to zero at the last step.
        warmup_epochs: epochs of linear growth from zero.
        batch_size: images in one step, over all replicas together.
        epochs: passes over the training images.
        weight_decay: decoupled, on kernels only: biases and normalisation are left alone.
        label_smoothing: the share of the target spread over all classes.
        clip_norm: largest global norm of the reduced gradient; None: no limit.
        augmentation: random changes of the training images.
        loss: a class of Keras losses on logits; None: cross-entropy.
        auxiliary_weight: factor on the loss of each auxiliary head.
        source: where the recipe was published, or how it was found.
    """

    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    batch_size: int = 128
    epochs: int = 20
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    augmentation: Augmentation = Augmentation()
    loss: Callable[[], Any] | None = None
    auxiliary_weight: float = 0.3
    source: str = ""

    def space(self) -> Space:
        """What a search may change in this recipe, around its own values.

        The optimizer is declared but not searched: each has learning rates of its own, so choose
        it and a range of learning rates together. `augmentation` is a factor on the strength.
        """
        rate, batch = self.learning_rate, self.batch_size
        return Space(
            (
                Param(
                    name="learning_rate",
                    default=rate,
                    search=Range(rate / 10, rate * 10, log=True),
                    legal=Range(1e-9, 1e3),
                    help="At the start, or at the end of the warm-up.",
                ),
                Param(
                    name="batch_size",
                    default=batch,
                    search=(max(1, batch // 2), batch, 2 * batch),
                    legal=Range(1, 2**20),
                    help="Images in one step, over all replicas.",
                ),
                Param(
                    name="weight_decay",
                    default=self.weight_decay,
                    search=tuple(sorted({0.0, 1e-4, 1e-3, 1e-2, self.weight_decay})),
                    legal=Range(0.0, 10.0),
                    help="Decoupled, on kernels.",
                ),
                Param(
                    name="label_smoothing",
                    default=self.label_smoothing,
                    search=None if self.loss else tuple(sorted({0.0, 0.1, self.label_smoothing})),
                    legal=Range(0.0, 0.9),
                    help="The share of the target spread over all classes.",
                ),
                Param(
                    name="optimizer",
                    default=self.optimizer,
                    legal=OPTIMIZERS,
                    help="The rule that changes the weights.",
                ),
                Param(
                    name="augmentation",
                    default=1.0,
                    search=(0.0, 0.5, 1.0, 1.5) if self.augmentation != Augmentation() else None,
                    legal=Range(0.0, 10.0),
                    help="Factor on the strength of the recipe's random changes of images.",
                ),
            )
        )

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with values of `space()`.

        Raises:
            ArgumentError: a value is unknown or illegal.
        """
        found = self.space().validate(values, owner="recipe")
        factor = found.pop("augmentation")
        return replace(self, augmentation=self.augmentation.scaled(factor), **found)
