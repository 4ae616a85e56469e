"""A training for detection as any other: the same on replicas, resumed, killed, and judged once."""

import dataclasses

import keras
import numpy as np
import pytest
from kerascnn_detection.counting import OVERLAPS
from kerascnn_detection.one_stage import PARTS as CELLS
from kerascnn_detection.two_stage import PARTS, RPN_PARTS

import kerascnn

DATA = "digit_scenes?size=48&train=8&validation=3&test=3"
SMALL = {
    "backbone": "vgg11_bn",
    "backbone_arguments": "depths=1,1,1 widths=4,6,8",
    "stride": 4,
    "anchor_sizes": (12.0, 24.0),
    "rpn_width": 8,
    "candidates": 60,
    "candidates_trained": 60,
    "proposals": 10,
    "proposals_trained": 30,
    "least_side": 2.0,
    "roi_size": 3,
    "head_widths": (8,),
    "samples": 16,
    "dropout": 0.0,
}
TINY = {"widths": (4, 4, 8, 8), "tail": (8,), "norm": "batch", "head": "conv"}


def trained(path, name="faster_rcnn", arguments=SMALL, **options):
    given = {"epochs": 2, "batch_size": 4, "input_shape": (48, 48, 3), "strategy": "none"}
    return kerascnn.train(name, DATA, arguments=arguments, run=path, **{**given, **options})


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "two_stages")


@pytest.mark.slow
def test_what_is_saved_answers_with_boxes_and_the_history_has_each_loss(two_stages):
    model = two_stages.model()
    assert model.output_shape == (None, 100, 6)
    assert len(model.inputs) == 1, "the graph of training, which takes boxes, isn't saved"
    for row in two_stages.history:
        for part in ("", "val_"):
            losses = [row[f"{part}loss_{name}"] for name in (*RPN_PARTS, *PARTS)]
            assert row[f"{part}loss"] == pytest.approx(sum(losses), rel=1e-5)
        assert all(0 <= row[f"val_{name}"] <= 1 for name in OVERLAPS)
    assert {f"test_{name}" for name in OVERLAPS} <= set(two_stages.metrics)


@pytest.mark.slow
def test_cells_are_trained_alike(tmp_path):
    run = trained(tmp_path / "run", "yolo_tiny", TINY, epochs=1)
    row = run.history[0]
    assert row["loss"] == pytest.approx(sum(row[f"loss_{name}"] for name in CELLS), rel=1e-5)
    assert run.model().output_shape == (None, 100, 6)


@pytest.mark.slow
def test_a_training_that_was_stopped_draws_what_it_would_have_drawn(two_stages, tmp_path):
    """Bit for bit: each draw is a function of seed, epoch and image."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "part", callbacks=[Stop()])
    part = kerascnn.resume(tmp_path / "part")
    for ours, theirs in zip(part.model().weights, two_stages.model().weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), ours.path)


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does_and_judge_each_image_once(tmp_path):
    """Three images are an uneven batch for two; batch normalization would see half of a batch."""
    plain = {**SMALL, "backbone": "vgg11"}
    one, two = (
        trained(
            tmp_path / strategy.replace(":", ""),
            arguments=plain,
            strategy=strategy,
            precision="float64",
            epochs=1,
            record=False,
        )
        for strategy in ("none", "mirrored:2")
    )
    for row, expected in zip(two.history, one.history, strict=True):
        for name in ("loss", "val_loss", *(f"val_{name}" for name in OVERLAPS)):
            assert row[name] == pytest.approx(expected[name], rel=1e-5), name
    for ours, theirs in zip(two.model().weights, one.model().weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5, err_msg=ours.path)
    for name in OVERLAPS:
        assert two.metrics[f"test_{name}"] == pytest.approx(one.metrics[f"test_{name}"], abs=1e-9)


@pytest.mark.slow
def test_boxes_of_other_classes_get_new_last_layers_and_keep_the_rest(two_stages, tmp_path):
    data = kerascnn.data.load(DATA, target="boxes", input_shape=(48, 48, 3), echo=None)
    names = tuple(f"other {name}" for name in data.class_names)
    run = kerascnn.train(
        from_=two_stages,
        data=dataclasses.replace(data, class_names=names),
        epochs=1,
        batch_size=4,
        keep_epochs=(0,),
        run=tmp_path / "run",
        record=False,
    )
    new = run.config.weights.left_out
    assert new == ("cls_score", "bbox_pred")
    old, begun = two_stages.model(), run.model(epoch=0)
    for layer in begun.layers:
        for one, two in zip(layer.weights, old.get_layer(layer.name).weights, strict=True):
            if layer.name not in new:
                np.testing.assert_array_equal(one.numpy(), two.numpy(), one.path)
    for name in new:
        kernels = (model.get_layer(name).kernel.numpy() for model in (old, begun))
        assert not np.array_equal(*kernels), name


@pytest.mark.slow
def test_its_page_has_the_figures_of_boxes(two_stages):
    text = kerascnn.reports.report(two_stages.path, explain=1, echo=None).html()
    assert "could not be evaluated" not in text
    assert "AP50 of all" in text
    for name in two_stages.config.class_names:
        assert f'<th scope="row">{name}</th>' in text
    assert ">AP50, 11 points</th>" in text
    # Curves; samples, worst, best and AP; an explanation; the network.
    assert text.count("data:image/webp;base64,") == 1 + 4 + 1 + 1
