"""What makes the answer of a network whose cells answer, and what its training makes small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kerascnn_detection.cells import PER_BOX, Answer, Truth
from kerascnn_detection.lessons import learned
from kerascnn_detection.losses import COORD, NOOBJ, yolo_loss
from kerascnn_detection.nms import detections
from kerascnn_detection.stages import COLUMNS, Finder

PARTS = ("coordinates", "object", "no_object", "classes")

Losses = Callable[[Any, Sequence[Any]], dict[str, Any]]


@keras.saving.register_keras_serializable("kerascnn_detection")
class CellDetections(Finder):
    """What YOLO's cells say made into the answer; see `kerascnn_detection.nms.detections`.

    Input: the cells' numbers, float32 `[batch, rows, columns, boxes * 5 + classes]`, see
    `kerascnn_detection.cells`; and the image, of which nothing but its size is read. Output:
    float32 `[batch, most, 6]`: x1, y1, x2, y2, label, score, the best first.

    Args:
        boxes: of each cell.
        overlap, most, least_score: see `kerascnn_detection.nms.detections`; by default what the
            authors test with (darknet's `yolo.c`), and so many boxes as COCO looks at.
        coord, noobj: λ of the coordinates and of boxes without an object, which training weighs
            its loss with (equation 3).
    """

    maps_read = 1

    def __init__(
        self,
        *,
        boxes: int,
        overlap: float = 0.5,
        most: int = 100,
        least_score: float = 0.001,
        coord: float = COORD,
        noobj: float = NOOBJ,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.boxes = boxes
        self.overlap = overlap
        self.most = most
        self.least_score = least_score
        self.coord = coord
        self.noobj = noobj

    def call(self, inputs: Any) -> Any:
        """What is found in each image."""
        cells, image = inputs
        boxes, scores = Answer.of(cells, self.boxes).found(tuple(ops.shape(image)[1:3]))
        return detections(
            boxes,
            scores,
            overlap=self.overlap,
            most=self.most,
            least_score=self.least_score,
        )

    def classes(self) -> int:
        """How many it tells apart."""
        return self.input[0].shape[-1] - self.boxes * PER_BOX

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, most, 6]`."""
        return (input_shape[0][0], self.most, COLUMNS)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("boxes", "overlap", "most", "least_score", "coord", "noobj")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def losses(finder: CellDetections) -> Losses:
    """The function from targets and outputs to each image's losses, named as `PARTS` are.

    Targets are a batch of `kerascnn.data.Boxes`, float32 `[batch, most, 6]`, of which difficult
    ones aren't learned. Outputs are the answer, the cells' numbers, and the image.

    Args:
        finder: of the network.

    Returns:
        A function to the losses, float32 `[batch]` each.
    """

    def of(targets: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        _, cells, image = outputs
        grid, size = tuple(ops.shape(cells)[1:3]), tuple(ops.shape(image)[1:3])
        truth = Truth.of(learned(targets), size, grid, cells.shape[-1] - finder.boxes * PER_BOX)
        return yolo_loss(
            Answer.of(cells, finder.boxes), truth, coord=finder.coord, noobj=finder.noobj
        )

    return of
