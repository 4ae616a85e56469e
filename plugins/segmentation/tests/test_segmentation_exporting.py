"""Exported networks answer for images of another size than they were trained with, as they do."""

import numpy as np
import pytest

import kerascnn
from kerascnn import any_size

SMALL = {"depth": 2, "width": 4}


@pytest.mark.slow
@pytest.mark.parametrize("format", ["savedmodel", "onnx", "litert"])
def test_a_file_takes_sizes_that_the_pooling_cannot_halve(format, tmp_path):
    from kerascnn_segmentation.task import SEGMENTATION

    from kerascnn import exporting
    from kerascnn.exporting import runners

    model = kerascnn.create("unet_same", input_shape=(32, 32, 3), classes=5, **SMALL)
    served = SEGMENTATION.served(model)
    written = exporting.export(served, tmp_path / "file", format, size=(32, 32))
    assert written.difference < 1e-4
    images = np.random.default_rng(0).uniform(0, 1, (2, 45, 38, 3)).astype("float32")
    (theirs,), _ = runners.RUNNERS[format](served, written.path, images)
    answers = np.asarray(any_size(model)(images, training=False))
    assert theirs.shape == (2, 45, 38, 5)
    scores = np.log(answers) if not np.allclose(theirs.sum(-1), 1, atol=1e-3) else answers
    np.testing.assert_allclose(
        theirs - theirs.mean(-1, keepdims=True), scores - scores.mean(-1, keepdims=True), atol=1e-4
    )
