"""A recipe: how a network is trained, as data. Each stands beside its architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
