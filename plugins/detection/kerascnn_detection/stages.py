"""The two places at which a two-stage detector chooses boxes, as layers of its graph.

So a saved or exported model decodes and suppresses itself. Both answer with rows of six,
x1, y1, x2, y2, label and score, and the label `ABSENT` where there is none. Each also knows what
its network learns: so a saved model can be trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import keras
from keras import ops

from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError
from kerascnn_detection import boxes as _boxes
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.lessons import ANCHORS, JOINT, Lesson
from kerascnn_detection.losses import BACKGROUND
from kerascnn_detection.nms import detections
from kerascnn_detection.proposals import Thinning, proposals

COLUMNS = 6  # of rows

LOGITS, MARGINS = "logits", "margins"  # what a head's scores are
SCORES = (LOGITS, MARGINS)


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a region proposal network says.

    Attributes:
        anchors: of each map, float32 `[n, 4]`.
        logits: of each map, that an anchor shows an object, `[batch, n]`.
        codes: of each map, how it is to be moved, `[batch, n, 4]`.
        size: `(height, width)` of the images.
    """

    anchors: list[Any]
    logits: list[Any]
    codes: list[Any]
    size: tuple[Any, Any]


@keras.saving.register_keras_serializable("kerascnn_detection")
class Proposals(keras.layers.Layer):
    """A region proposal network's numbers made into boxes; see `kerascnn_detection.proposals`.

    Input: of each map the logits `[batch, height, width, anchors]`; then of each map the codes
    `[batch, height, width, 4 * anchors]`; and the image, of which nothing but its size is read.
    Output: float32 `[batch, after, 6]`, the label 0 in all rows that are any. In training there may
    be other numbers of them.

    Args:
        anchors: of each map.
        strides: of each map, in pixels; None: the image's sides by the map's, without remainder, as
            torchvision has them.
        trained, tested: how many boxes, in training and otherwise.
        lesson: what the network learns; the codes have its weights.
    """

    def __init__(
        self,
        *,
        anchors: Sequence[Anchors],
        strides: Sequence[int] | None,
        trained: Thinning,
        tested: Thinning,
        lesson: Lesson = ANCHORS,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.anchors = tuple(anchors)
        self.strides = None if strides is None else tuple(strides)
        self.trained = trained
        self.tested = tested
        self.lesson = lesson

    def read(self, inputs: Sequence[Any]) -> Read:
        """What the inputs say, anchor by anchor."""
        maps, image = len(self.anchors), inputs[-1]
        _, height, width, _ = ops.shape(image)
        anchors, logits, codes = [], [], []
        for number, one in enumerate(self.anchors):
            _, rows, columns, _ = ops.shape(inputs[number])
            strides = (height // rows, width // columns)
            if self.strides is not None:
                strides = (self.strides[number],) * 2
            count = rows * columns * len(one)
            anchors.append(one.over(rows, columns, strides))
            logits.append(ops.reshape(inputs[number], (-1, count)))
            codes.append(ops.reshape(inputs[maps + number], (-1, count, 4)))
        return Read(anchors=anchors, logits=logits, codes=codes, size=(height, width))

    @property
    def maps_read(self) -> int:
        """Of its inputs: of the image, the last one, nothing but its size is read."""
        return 2 * len(self.anchors)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The proposals of each image."""
        read = self.read(inputs)
        boxes, scores, there = proposals(
            read.anchors,
            read.logits,
            read.codes,
            read.size,
            self.trained if training else self.tested,
            self.lesson.weights,
        )
        labels = ops.where(there, 0.0, float(ABSENT))
        return ops.concatenate([boxes, labels[..., None], scores[..., None]], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, after, 6]`, as tested."""
        return (input_shape[0][0], self.tested.after, COLUMNS)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON has them."""
        return {
            **super().get_config(),
            "anchors": [list(map(list, one.cell)) for one in self.anchors],
            "strides": self.strides,
            "trained": asdict(self.trained),
            "tested": asdict(self.tested),
            "lesson": asdict(self.lesson),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Proposals:
        """See `get_config`."""
        anchors = [Anchors(tuple(map(tuple, cell))) for cell in config["anchors"]]
        thinning = {key: Thinning(**config[key]) for key in ("trained", "tested")}
        lesson = Lesson.from_config(config["lesson"])
        return cls(**{**config, **thinning, "anchors": anchors, "lesson": lesson})


class Finder(keras.layers.Layer):
    """A network's last layer, which makes boxes of numbers: float32 `[batch, most, 6]`.

    Attributes:
        most: how many rows there are of an image.
    """

    most: int


Kind = TypeVar("Kind", bound=Finder)


def finder_of(model: keras.Model, kind: type[Kind]) -> Kind:
    """The layer that makes a network's answer.

    Args:
        model: its first output is the answer.
        kind: what the layer must be: `Detections` in a network of two stages, or any `Finder`.

    Raises:
        ArgumentError: no such layer does.
    """
    answer = model.outputs[0]
    for layer in model.layers:
        if isinstance(layer, kind) and layer.output is answer:
            return layer
    raise ArgumentError(
        "A network for detection must end in what makes boxes, a layer "
        "kerascnn_detection.stages.Detections, where it has two stages, or "
        f"kerascnn_detection.one_stage.CellDetections: rows [batch, most, {COLUMNS}]. "
        f"Received: {model.name}, whose output is {tuple(answer.shape)}."
    )


@keras.saving.register_keras_serializable("kerascnn_detection")
class Detections(Finder):
    """A head's numbers made into the answer; see `kerascnn_detection.nms.detections`.

    Input: scores `[batch, n, 1 + classes]`, of which the first is the background's; codes
    `[batch, n, 4 * (1 + classes)]`; the proposals, rows `[batch, n, 6]`; and the image, of which
    nothing but its size is read. Output: float32 `[batch, most, 6]`.

    Args:
        overlap, most, least_score: see `kerascnn_detection.nms.detections`.
        lesson: what the head learns; the codes have its weights.
        scores: what the head's are. `LOGITS`: a class's score is its softmax, the background
            among them. `MARGINS`: of linear SVMs, one for each class; its score is the sigmoid, so
            that 0.5 is what separates, and the background's margin isn't read.

    Raises:
        ArgumentError: the scores are neither.
    """

    maps_read = 3

    def __init__(
        self,
        *,
        overlap: float = 0.3,
        most: int = 100,
        least_score: float = 0.05,
        lesson: Lesson = JOINT,
        scores: str = LOGITS,
        **kwargs: Any,
    ) -> None:
        if scores not in SCORES:
            raise ArgumentError(f"scores must be one of {', '.join(SCORES)}. Received: {scores!r}.")
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.overlap = overlap
        self.most = most
        self.least_score = least_score
        self.lesson = lesson
        self.scores = scores

    def call(self, inputs: Any) -> Any:
        """What is found in each image."""
        scores, codes, rows, image = inputs
        codes = of_each_class(codes, scores)[:, :, BACKGROUND + 1 :]
        boxes = _boxes.decode(codes, rows[:, :, None, :4], self.lesson.weights)
        chances = ops.softmax if self.scores == LOGITS else ops.sigmoid
        return detections(
            _boxes.clip(boxes, tuple(ops.shape(image)[1:3])),
            chances(ops.cast(scores, "float32"))[..., BACKGROUND + 1 :],
            overlap=self.overlap,
            most=self.most,
            least_score=self.least_score,
            valid=_boxes.present(rows),
        )

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, most, 6]`."""
        return (input_shape[0][0], self.most, COLUMNS)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON has them."""
        own = {key: getattr(self, key) for key in ("overlap", "most", "least_score", "scores")}
        return {**super().get_config(), **own, "lesson": asdict(self.lesson)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Detections:
        """See `get_config`."""
        return cls(**{**config, "lesson": Lesson.from_config(config["lesson"])})


def of_each_class(codes: Any, scores: Any) -> Any:
    """A head's codes, `[batch, n, 1 + classes, 4]`, of `[batch, n, 4 * (1 + classes)]`."""
    return ops.reshape(codes, (-1, ops.shape(codes)[1], scores.shape[-1], 4))
