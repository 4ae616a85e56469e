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
class Protocol:
    """How images are shown to the trained network, and its answers averaged.

    Attributes:
        views: "single" (one centre view), "10-crop" (four corners and the centre, mirrored too) or
            "dense" (the convolutionalised network slides over the image; its map is averaged).
        resize: lengths of the shorter side to scale the image to; several are averaged
            (multi-scale). Empty: the image as it is.
        crop: side of the crops; None: the network's input.
        flip: whether the mirrored image is averaged in too.
    """

    views: str = "single"
    resize: tuple[int, ...] = ()
    crop: int | None = None
    flip: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the network and the data that decides what training does.

    Attributes:
        optimizer: "sgd" (with `momentum`), "adam" or "adamw".
        learning_rate: at the start, or at the end of the warm-up.
        nesterov: Nesterov's form of momentum.
        schedule: "constant"; "cosine" down to zero at the last step; "step", see `steps`;
            "exponential": times `factor` every `every` epochs; "plateau": times `factor` when the
            validation error has not improved for `patience` epochs, at most `reductions` times.
        steps: for "step": (epoch, factor on `learning_rate` from there on), in rising order.
        factor, every, patience, reductions: see `schedule`.
        warmup_epochs: epochs of linear growth from zero.
        batch_size: images in one step, over all replicas together.
        accumulation: steps whose gradients are averaged before the weights change once.
        epochs: passes over the training images.
        weight_decay: factor on the decayed weights; see `decay` and `decay_on`.
        decay: "decoupled" (weights shrink beside the gradient's rule) or "l2" (the papers' decay:
            added to the gradient, so that momentum sees it).
        decay_on: "kernels": biases and normalisation are left alone; or "all".
        label_smoothing: the share of the target spread over all classes.
        dropout: replaces the architecture's own `dropout`; None: as the architecture has it.
        clip_norm: largest global norm of the reduced gradient; None: no limit.
        ema: decay of a moving average of the weights that evaluation and the saved model use
            (Polyak averaging); None: none.
        freeze_epochs: epochs in which only the classifier learns, before everything does.
        initialization: see `kerascnn.training.initialization`; None: as the architecture has it.
        augmentation: random changes of the training images.
        evaluation: how the trained network is evaluated.
        loss: a class of Keras losses on logits; None: cross-entropy.
        auxiliary_weight: factor on the loss of each auxiliary head.
        source: where the recipe was published, or how it was found.
        unstated: fields that no source states: they hold this package's defaults.
        notes: each deviation from the source, and why.
        network: the architecture that it was published with.
    """

    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    schedule: str = "cosine"
    steps: tuple[tuple[float, float], ...] = ()
    factor: float = 0.1
    every: float = 1.0
    patience: int = 5
    reductions: int = 3
    warmup_epochs: float = 0.0
    batch_size: int = 128
    accumulation: int = 1
    epochs: int = 20
    weight_decay: float = 0.0
    decay: str = "decoupled"
    decay_on: str = "kernels"
    label_smoothing: float = 0.0
    dropout: float | None = None
    clip_norm: float | None = None
    ema: float | None = None
    freeze_epochs: int = 0
    initialization: str | None = None
    augmentation: Augmentation = Augmentation()
    evaluation: Protocol = Protocol()
    loss: Callable[[], Any] | None = None
    auxiliary_weight: float = 0.3
    source: str = ""
    unstated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    network: str = ""

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
