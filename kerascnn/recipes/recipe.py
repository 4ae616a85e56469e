"""A recipe: how a network is trained, as data. The papers' are in `kerascnn.recipes.papers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascnn.errors import ArgumentError
from kerascnn.space import Param, Range, Space
from kerascnn.typed import require, settle

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "step", "exponential", "plateau")
DECAYS = ("decoupled", "l2")
DECAYED = ("kernels", "all")
BORDERS = ("zero", "mirror")
VIEWS = ("single", "10-crop", "50-crop", "144-crop", "dense")
KEEP_LAST, KEEP_BEST = "last", "best"
RARITY = {"balanced": 1.0, "rooted": 0.5}
"""What weighs classes by their rarity, and the power of it that is their weight."""
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
AUTO = "auto"
ASKED_PRECISIONS = (*PRECISIONS, AUTO)
"""What a trained network can be asked for: "auto" is the quickest that is near enough."""
# What is logged in each epoch and compared, and the sign with which less of it is better. An
# accuracy is what an error leaves of 1.
MEASURES: Mapping[str, tuple[str, int]] = {
    **{
        f"{part}{name}": (f"{part}{name}", 1) for part in ("val_", "") for name in ("error", "loss")
    },
    **{f"{part}accuracy": (f"{part}error", 1) for part in ("val_", "")},
}
# Fields that only some schedules use.
SCHEDULED: Mapping[str, tuple[str, ...]] = {
    "steps": ("step",),
    "every": ("exponential",),
    "factor": ("exponential", "plateau"),
    "patience": ("plateau",),
    "reductions": ("plateau",),
}
# "We resize the image to 4 scales where the shorter dimension is 256, 288, 320 and 352" (GoogLeNet,
# section 7), in units of its input.
_LENGTHS_OF_144 = tuple(side / 224 for side in (256, 288, 320, 352))
# Of augmentation: fields that are 0 where nothing happens, and grow with the change.
_STRENGTHS = (
    *("pad", "shift", "rotation", "zoom", "shear", "elastic"),
    *("brightness", "contrast", "saturation", "lighting"),
)


OFF: Mapping[str, Mapping[str, Any]] = {
    "momentum": {"momentum": 0.0, "nesterov": False},
    "nesterov": {"nesterov": False},
    "warmup_epochs": {"warmup_epochs": 0.0},
    "weight_decay": {"weight_decay": 0.0},
    "label_smoothing": {"label_smoothing": 0.0},
    "clip_norm": {"clip_norm": None},
    "trunk_rate": {"trunk_rate": 1.0},
    "thaw_epochs": {"thaw_epochs": 0},
    "ema": {"ema": None},
    "class_weight": {"class_weight": None},
    "balance": {"balance": False},
    "filter_rms": {"filter_rms": None},
}
"""What a recipe can do without, and the values of one that does."""
MIXES = ("mixup", "cutmix")
"""Fields of Augmentation that make one image of two."""
CHANGES = (*_STRENGTHS, "canvas", "resize", "area", "flip", "randaugment", "erase", *MIXES)
"""Fields of Augmentation that change images; the others say how."""


IN_EPOCHS = (
    "epochs",
    "steps",
    "every",
    "patience",
    "warmup_epochs",
    "freeze_epochs",
    "thaw_epochs",
)
"""Fields of a recipe that are counted in epochs; who states one knows how many there are."""

# Far above what anyone trains with, and small enough to count to. Files may say anything.
_LARGEST: Mapping[str, float] = {
    "epochs": 10**6,
    "batch_size": 2**20,
    "accumulation": 2**20,
    "learning_rate": 1e38,  # what float32 holds: training says when it was too much
    "every": 1e6,
    "patience": 10**6,
    "warmup_epochs": 1e6,
    "weight_decay": 1e6,
    "freeze_epochs": 10**6,
    "thaw_epochs": 10**6,
    "reductions": 10**6,
    "factor": 1e6,
    "auxiliary_weight": 1e6,
}
_MOST_OPERATIONS = 100  # of RandAugment
_MOST_KNOTS = 64  # on a side of an elastic deformation's grid
_SMALLEST_ALPHA, _LARGEST_ALPHA = 0.01, 100.0  # of mixing: beyond them float32 has no quantiles
_MOST_SCALES = 32  # at which each image is looked at
_LARGEST_LENGTH = 64.0  # in units of the network's input


def _require_one_of(value: Any, name: str, known: tuple[str, ...]) -> None:
    require(value in known, name, f"one of {', '.join(known)}", value)


def monitored(monitor: str | None) -> tuple[str, int]:
    """The name of a logged measure, and 1 if less of it is better or -1 if more is.

    Args:
        monitor: one of `MEASURES`; or any other, with the direction: "max:val_mean_iou",
            "min:val_brier". `Task.monitor` makes this of what a recipe says.

    Raises:
        ArgumentError: which way is better is neither known nor said.
    """
    direction, _, name = (monitor or "").rpartition(":")
    if direction in ("min", "max") and name:
        metric, sign = MEASURES.get(name, (name, 1))
        flipped = name.endswith("accuracy") and metric != name
        return metric, sign if (direction == "min") != flipped else -sign
    if not direction and name in MEASURES:
        return MEASURES[name]
    raise ArgumentError(
        f"monitor must be one of {', '.join(MEASURES)}, or say which way is better, as in "
        f"max:val_mean_iou or min:NAME. Received: {monitor!r}."
    )


def check_precision(precision: str, known: Iterable[str] = PRECISIONS) -> None:
    """Refuse what is no precision.

    Raises:
        ArgumentError: it says what is.
    """
    if precision not in known:
        raise ArgumentError(
            f"precision must be one of {', '.join(known)}. Received: {precision!r}."
        )


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training images, drawn anew for each image and epoch.

    Images come from the data as a *canvas*, which may be larger than the network's input; a
    training image is a crop of it, an evaluated one its centre. Lengths are relative to the input
    (224, say), so that a paper's recipe also fits a network at 64×64: AlexNet's 224 of 256 is
    `canvas=256 / 224`.

    Attributes:
        canvas: side of the images that the data delivers, in units of the network's input.
        resize: lengths between which the canvas' side is scaled before the crop (VGG's scale
            jitter), in the same units, at least 1; None: the canvas as it is.
        area: share of the canvas' area that a crop covers (GoogLeNet's crops, resized to the
            input), the smallest and the largest; None: crops as `resize` says.
        aspect: with `area`, the narrowest and widest ratio of width to height.
        pad: zeros around the canvas before the crop, in units of the input: 4 / 32 on CIFAR.
        shift: largest shift, as a fraction of the image's side.
        rotation: largest rotation, in degrees.
        zoom: largest change of size, as a fraction.
        shear: largest horizontal shear, as a fraction of the height.
        elastic: standard deviation of an elastic deformation's random displacements, as a fraction
            of the image's side (U-Net, section 3.1: 10 pixels of 512).
        elastic_grid: points on each side of the coarse grid where these displacements are drawn;
            between them they are interpolated (U-Net: 3).
        border: what comes in from outside of the canvas: "zero", or the canvas itself, mirrored at
            its edges ("mirror"), as far as needed.
        flip: whether to mirror left and right.
        brightness, contrast, saturation: largest change of each, as a fraction.
        lighting: standard deviation of AlexNet's shift of colours along their principal
            components.
        components: of the training images' colours, one row for each, times its variance, for
            pixels in [0, 1]; None: computed from the training images when training starts.
        randaugment: number of operations of RandAugment (Cubuk et al., 2019); 0: none.
        magnitude: of RandAugment's operations, from 0 to 10.
        erase: probability that a rectangle of an image is replaced by noise (Zhong et al., 2017).
        erase_area: with `erase`, the smallest and the largest share of the image's area.
        erase_aspect: with `erase`, the smallest and the largest ratio of height to width.
        mixup: alpha of the Beta distribution from which the shares of two images come that are
            added up (Zhang et al., 2017); 0: none are. Their labels have the same shares.
        cutmix: the same for the share of the area that an image keeps while a box of another is
            put into it (Yun et al., 2019). With both, each image goes one of the ways.
        mixed: with `mixup` or `cutmix`, the share of the images that are mixed.
    """

    canvas: float = 1.0
    resize: tuple[float, float] | None = None
    area: tuple[float, float] | None = None
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    pad: float = 0.0
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    elastic_grid: int = 3
    border: str = "zero"
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    lighting: float = 0.0
    components: tuple[tuple[float, ...], ...] | None = None
    randaugment: int = 0
    magnitude: float = 9.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.4)
    erase_aspect: tuple[float, float] = (0.3, 10 / 3)
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 1.0

    def __post_init__(self) -> None:
        settle(self, "augmentation.")
        require(self.canvas >= 1, "augmentation.canvas", "at least 1", self.canvas)
        pairs = ("area", "aspect", "erase_area", "erase_aspect")
        for name, least in (("resize", 1.0), *((name, 0.0) for name in pairs)):
            if (pair := getattr(self, name)) is not None:
                legal = len(pair) == 2 and least <= pair[0] <= pair[1] and pair[0] > 0
                what = f"two rising numbers{' from 1' if least else ' above 0'}"
                require(legal, f"augmentation.{name}", what, pair)
        require(not self.area or self.area[1] <= 1, "augmentation.area", "at most 1", self.area)
        require(self.erase_area[1] < 1, "augmentation.erase_area", "below 1", self.erase_area)
        for name in ("erase", "mixed"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augmentation.{name}", "from 0 to 1", value)
        for name in MIXES:
            value = getattr(self, name)
            legal = value == 0 or _SMALLEST_ALPHA <= value <= _LARGEST_ALPHA
            what = f"0, or from {_SMALLEST_ALPHA:g} to {_LARGEST_ALPHA:g}"
            require(legal, f"augmentation.{name}", what, value)
        require(0 <= self.magnitude <= 10, "augmentation.magnitude", "0 to 10", self.magnitude)
        _require_one_of(self.border, "augmentation.border", BORDERS)
        legal = 2 <= self.elastic_grid <= _MOST_KNOTS
        what = f"2 to {_MOST_KNOTS}"
        require(legal, "augmentation.elastic_grid", what, self.elastic_grid)
        require(self.zoom < 1, "augmentation.zoom", "below 1", self.zoom)
        for name in (*_STRENGTHS, "randaugment"):
            value = getattr(self, name)
            require(value >= 0, f"augmentation.{name}", "0 or more", value)
            most = _MOST_OPERATIONS if name == "randaugment" else 360.0
            require(value <= most, f"augmentation.{name}", f"at most {most:g}", value)
        lengths = (self.canvas, *(self.resize or ()), *self.aspect, *self.erase_aspect)
        legal = all(length <= _LARGEST_LENGTH for length in lengths)
        require(legal, "canvas, resize and aspects", f"at most {_LARGEST_LENGTH:g}", lengths)

    def scaled(self, factor: float) -> Augmentation:
        """The same changes, `factor` times as strong; mirroring and scale jitter stay as they are.

        So does how two images are mixed: its alphas are parameters of their own. Crops by `area`
        stay what they are at 1 and cover the whole canvas at 0.
        """
        if factor == 1:
            return self
        values: dict[str, Any] = {name: getattr(self, name) * factor for name in _STRENGTHS}
        values["magnitude"] = min(10.0, self.magnitude * factor)
        values["zoom"] = min(0.9, values["zoom"])
        values["erase"] = min(1.0, self.erase * factor)
        if self.area:
            low, high = (max(0.01, 1 - (1 - share) * factor) for share in self.area)
            values["area"] = (low, high)
        return replace(self, **values)

    def canvas_shape(self, input_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """`(height, width, channels)` of the images that the data delivers."""
        height, width, channels = input_shape
        return round(height * self.canvas), round(width * self.canvas), channels


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How images are shown to the trained network, and its answers averaged.

    Attributes:
        views: what is shown of the image at each scale.
            "single": the centre.
            "10-crop": the four corners and the centre of the middle square, mirrored too (AlexNet).
            "50-crop": a regular grid of 5×5 crops over the whole image, mirrored too (VGG).
            "144-crop": at each of four scales, of the left, the middle and the right square (of an
            upright image the top, middle and bottom one) the four corners, the centre, and the
            square shrunk to the network's input, mirrored too (GoogLeNet).
            "dense": the convolutionalised network slides over the whole image; its map of scores
            is averaged (VGG, ResNet).
        resize: lengths to scale the image's shorter side to, in units of the network's input, at
            least 1; several are averaged (multi-scale). Empty: the canvas that the training
            images are cut from; with "144-crop" GoogLeNet's four.
        flip: whether the mirrored image is averaged in too; the crops by number always do.

    Raises:
        ArgumentError: a value is illegal.
    """

    views: str = "single"
    resize: tuple[float, ...] = ()
    flip: bool = False

    def __post_init__(self) -> None:
        settle(self, "evaluation.")
        _require_one_of(self.views, "evaluation.views", VIEWS)
        few = len(self.resize) <= _MOST_SCALES
        require(few, "evaluation.resize", f"at most {_MOST_SCALES} lengths", len(self.resize))
        for length in self.resize:
            require(length >= 1, "evaluation.resize", "lengths of at least 1 input", length)
            legal = length <= _LARGEST_LENGTH
            require(legal, "evaluation.resize", f"at most {_LARGEST_LENGTH:g}", length)
        if self.views == "144-crop":
            if not self.resize:
                object.__setattr__(self, "resize", _LENGTHS_OF_144)
            if len(self.resize) != 4:
                raise ArgumentError(
                    "144-crop is 36 crops at each of four scales: expected evaluation.resize "
                    "(--resize) with four lengths, or none for GoogLeNet's. "
                    f"Received: {len(self.resize)}."
                )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the network and the data that decides what training does.

    Attributes:
        optimizer: "sgd" (with `momentum`), "adam" or "adamw".
        learning_rate: at the start, or at the end of the warm-up.
        momentum: of "sgd"; 0: none.
        nesterov: Nesterov's form of momentum.
        schedule: "constant"; "cosine" down to zero at the last step; "step", see `steps`;
            "exponential": times `factor` every `every` epochs; "plateau": times `factor` when the
            task's main measure has not improved for `patience` epochs, at most `reductions` times.
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
        keep: which epoch's weights are evaluated and saved: "last", or "best" by `monitor`;
            "best:val_loss" is both in one.
        monitor: by what epochs are compared: "val_error", "val_loss", "val_accuracy" or another
            measure of the network's task, the same without "val_" of the training images, or
            "max:NAME" or "min:NAME" of what a callback logs; None: the task's main measure of the
            validation images. See `Task.monitor`.
        early_stopping: end when `monitor` has not improved for so many epochs; None: never.
        class_weight: factors on the loss of each class's training images, in the order of the
            classes; or "balanced": images / (classes * images of the class), so that all classes
            weigh alike; or "rooted": the square root of that, for classes of very different sizes,
            such as few pixels of a thing on a large background. What is reported, the training
            loss too, is never weighted. None: all 1.
        balance: draw the images of an epoch from all classes equally often; those of rare classes
            come several times, those of frequent ones not all in each epoch.
        freeze_epochs: epochs in which only the classifier learns, before everything does.
        thaw_epochs: after these, epochs between one stage of the network beginning to learn and
            the next, the last first (Howard and Ruder, 2018, section 3.3); stages end at the
            endpoints C1, C2 and so on. 0: all begin at once.
        trunk_rate: factor on the learning rate of all but the classifier, above 0 and up to 1.
        initialization: `(pattern, how)` pairs on variables such as "conv2/bias", see
            `kerascnn.training.initialization`; what none matches is as the architecture has it.
        filter_rms: convolution filters whose root mean square exceeds it are scaled back to it
            after each step (ZFNet); None: no limit.
        augmentation: random changes of the training images.
        evaluation: how the trained network is evaluated.
        loss: a class of Keras losses on logits, or where to import it from as in
            "package.module:Name"; None: cross-entropy.
        auxiliary_weight: factor on the loss of each auxiliary head.
        source: where the recipe was published, or how it was found.
        unstated: fields that no source states: they hold this package's choice.
        notes: each deviation from the source, and why.
        network: the architecture that it was published with.
        name: by which it was chosen: that of `kerascnn recipes`, "small", or a file's.

    Raises:
        ArgumentError: a value is illegal.
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
    keep: str = KEEP_LAST
    monitor: str | None = None
    early_stopping: int | None = None
    class_weight: tuple[float, ...] | str | None = None
    balance: bool = False
    freeze_epochs: int = 0
    thaw_epochs: int = 0
    trunk_rate: float = 1.0
    initialization: tuple[tuple[str, str], ...] = ()
    filter_rms: float | None = None
    augmentation: Augmentation = Augmentation()
    evaluation: Protocol = Protocol()
    loss: Callable[[], Any] | str | None = None
    auxiliary_weight: float = 0.3
    source: str = ""
    unstated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    network: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        settle(self)
        keep, colon, monitor = self.keep.partition(":")
        if keep == KEEP_BEST and colon:
            object.__setattr__(self, "keep", keep)
            object.__setattr__(self, "monitor", monitor)
        require(
            self.keep in (KEEP_LAST, KEEP_BEST),
            "keep",
            '"last", "best", or "best:" and a measure, such as best:val_loss',
            self.keep,
        )
        named = self.monitor is None or re.fullmatch(r"((min|max):)?[\w./-]+", self.monitor)
        require(bool(named), "monitor", "the name of a measure, such as val_loss", self.monitor)
        require(
            self.early_stopping is None or self.early_stopping > 0,
            "early_stopping (--patience)",
            "positive",
            self.early_stopping,
        )
        self._check_class_weight()
        self._check_mixing()
        _require_one_of(self.optimizer, "optimizer", OPTIMIZERS)
        _require_one_of(self.schedule, "schedule", SCHEDULES)
        _require_one_of(self.decay, "decay", DECAYS)
        _require_one_of(self.decay_on, "decay_on", DECAYED)
        positive = ("epochs", "batch_size", "learning_rate", "accumulation", "every", "patience")
        for name in (*positive, "factor"):
            require(getattr(self, name) > 0, name, "positive", getattr(self, name))
        not_negative = (
            "warmup_epochs",
            "weight_decay",
            "freeze_epochs",
            "thaw_epochs",
            "reductions",
        )
        for name in (*not_negative, "auxiliary_weight"):
            require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("label_smoothing", "momentum", "dropout", "ema"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, name, "from 0 up to, not including, 1", value)
        what = "above 0 and up to 1"
        require(0 < self.trunk_rate <= 1, "trunk_rate", what, self.trunk_rate)
        for name in ("clip_norm", "filter_rms"):
            value = getattr(self, name)
            require(value is None or value > 0, name, "positive", value)
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            require(abs(value) <= most, name, f"at most {most:g}", value)
        pairs = all(len(step) == 2 and min(step) >= 0 for step in self.steps)
        rising = pairs and list(self.steps) == sorted(self.steps)
        require(rising, "steps", "(epoch, factor) pairs of 0 or more, in rising order", self.steps)
        require(
            bool(self.steps) or self.schedule != "step",
            "steps",
            'given with schedule "step", such as ((30, 0.1), (60, 0.01))',
            self.steps,
        )

    def _check_class_weight(self) -> None:
        weights = self.class_weight
        if isinstance(weights, str):
            legal = weights in RARITY
        else:
            legal = weights is None or (
                all(0 <= weight < float("inf") for weight in weights) and sum(weights) > 0
            )
        what = '"balanced", "rooted", or factors of 0 or more, one for each class'
        require(legal, "class_weight", what, weights)
        twice = self.balance and isinstance(weights, str)
        what = (
            f'given without balance, or by numbers: "{weights}" weighs what is drawn evenly again'
        )
        require(not twice, "class_weight", what, weights)

    def _check_mixing(self) -> None:
        for name in MIXES if self.loss is not None else ():
            alpha = getattr(self.augmentation, name)
            what = "0 with a loss of the recipe's own, which knows no shares of labels"
            require(not alpha, f"augmentation.{name}", what, alpha)

    def space(self) -> Space:
        """What a search may change in this recipe, around its own values.

        The optimizer is declared but not searched: each has learning rates of its own. Where a
        plan of kerascnn-tuning chooses between several, each gets its own range. `augmentation`
        is a factor on the strength.
        """
        rate, batch = self.learning_rate, self.batch_size
        return Space(
            (
                Param(
                    name="learning_rate",
                    default=rate,
                    search=Range(rate / 10, rate * 10, log=True),
                    legal=Range(1e-12, 1e3),
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
                    help=f"{'Decoupled' if self.decay == 'decoupled' else 'L2'}, on "
                    f"{'kernels' if self.decay_on == 'kernels' else 'all weights'}.",
                ),
                Param(
                    name="label_smoothing",
                    default=self.label_smoothing,
                    search=None if self.loss else tuple(sorted({0.0, 0.1, self.label_smoothing})),
                    legal=Range(0.0, 0.9),
                    help="The share of the target spread over all classes.",
                ),
                *(self._mixing(name) for name in MIXES),
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

    def _mixing(self, name: str) -> Param:
        """Of mixup or cutmix: searched, with or without, where the recipe has it."""
        alpha = getattr(self.augmentation, name)
        return Param(
            name=name,
            default=alpha,
            search=(0.0, alpha) if alpha else None,
            legal=Range(0.0, _LARGEST_ALPHA),
            help=f"Alpha of {name}'s Beta distribution; 0: none.",
        )

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with values of `space()`.

        Raises:
            ArgumentError: a value is unknown or illegal.
        """
        found = self.space().validate(values, owner="recipe")
        augmentation = self.augmentation.scaled(found.pop("augmentation"))
        augmentation = replace(augmentation, **{name: found.pop(name) for name in MIXES})
        return replace(self, augmentation=augmentation, **found)
