"""Faster R-CNN against torchvision's with the same weights, and against the papers' counts."""

import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.faster_rcnn import classify, detector, propose
from kerascnn_detection.lessons import FAST
from kerascnn_detection.proposals import Thinning
from kerascnn_detection.pyramid import PyramidAlign, feature_pyramid
from kerascnn_detection.regions import RoIAlign, RoIPool
from kerascnn_detection.stages import MARGINS, Detections, Proposals

import kerascnn
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError


def synthetic(name, shape, kind, fan_in):
    """A weight from its name and shape alone, as the goldens' were made."""
    found = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    found = found.astype("float32")
    if kind == "kernel":
        return found * np.float32(np.sqrt(2.0 / fan_in))
    found = {"gamma": 1, "var": 1}.get(kind, 0) + np.float32(0.1) * found
    return np.abs(found) if kind == "var" else found


def image_of(facts):
    """The golden's image, float32 `[1, height, width, 3]`."""
    _, height, width, _ = facts["input"]["shape"]
    random = np.random.RandomState(facts["input"]["random_state"])
    coarse = random.standard_normal((1, height // 32, width // 32, 3))
    fine = random.standard_normal((1, height, width, 3))
    image = (2 * coarse.repeat(32, 1).repeat(32, 2) + 0.5 * fine).astype("float32")
    assert zlib.crc32(image.tobytes()) == facts["input"]["crc32"]
    return image


def ours(weight, cells=7):
    """torch's kernels: of a convolution, of a dense layer behind maps, of any other dense layer."""
    if weight.ndim == 4:
        return weight.transpose(2, 3, 1, 0)
    if weight.ndim == 2 and weight.shape[1] % cells**2 == 0 and weight.shape[1] > 4096:
        maps = weight.reshape(len(weight), -1, cells, cells)
        return maps.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    return weight.T if weight.ndim == 2 else weight


@pytest.mark.slow
def test_every_stage_is_torchvisions(golden):
    """VGG-16, 256×320 pixels: proposals, scores, codes, and the boxes that are found."""
    facts, arrays = golden("torchvision-fasterrcnn")
    settings = facts["settings"]
    thinning = Thinning(
        before=settings["pre_nms_top_n"],
        after=settings["post_nms_top_n"],
        least_side=settings["rpn_min_size"],
        small_first=False,
    )
    backbone = kerascnn.create("vgg16", include_top=False, input_shape=(256, 320, 3))
    maps = kerascnn.feature_extractor(backbone, ["C4"]).outputs
    model = detector(
        backbone.input,
        maps,
        classes=settings["classes"] - 1,
        pool=RoIPool((7, 7), stride=16),
        anchors=[Anchors.torchvision(settings["anchors"][0], settings["ratios"])],
        answers=Detections(most=settings["detections_per_img"], name="detections"),
        hidden=(256, 256),
        two_scores=False,
        trained=thinning,
        tested=thinning,
    )
    heads = ("rpn_conv", "rpn_cls_score", "rpn_bbox_pred", "fc6", "fc7", "cls_score", "bbox_pred")
    order = [layer.name for layer in backbone.layers if layer.weights] + list(heads)
    values = [ours(synthetic(*row)) for row in facts["parameters"]]
    for name, *weights in zip(order, values[::2], values[1::2], strict=True):
        model.get_layer(name).set_weights(weights)

    names = ("rpn_cls_score", "rpn_bbox_pred", "proposals", "cls_score", "bbox_pred", "detections")
    stages = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    found = {name: part.numpy()[0] for name, part in stages(image_of(facts)).items()}

    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(found["rpn_cls_score"], arrays["rpn_objectness_0"][0], **close)
    np.testing.assert_allclose(found["rpn_bbox_pred"], arrays["rpn_deltas_0"][0], **close)
    np.testing.assert_allclose(found["proposals"][:, :4], arrays["proposals"], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["cls_score"], arrays["class_logits"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["bbox_pred"], arrays["box_regression"], rtol=1e-3, atol=1e-3)
    agree(found["detections"], arrays)


def agree(rows, arrays):
    """Detections, row by row."""
    count = len(arrays["detections_labels"])
    assert (rows[count:, 4] == ABSENT).all()
    np.testing.assert_array_equal(rows[:count, 4] + 1, arrays["detections_labels"])
    np.testing.assert_allclose(rows[:count, :4], arrays["detections_boxes"], rtol=1e-4, atol=2e-2)
    np.testing.assert_allclose(rows[:count, 5], arrays["detections_scores"], atol=1e-4)


@pytest.mark.slow
def test_every_stage_on_a_pyramid_is_torchvisions(golden):
    """fasterrcnn_resnet50_fpn, 128×160 pixels; P6 has another stride down than across."""
    facts, arrays = golden("torchvision-fasterrcnn-resnet50_fpn")
    settings = facts["settings"]
    thinning = Thinning(
        before=settings["pre_nms_top_n"],
        after=settings["post_nms_top_n"],
        least_side=settings["rpn_min_size"],
        small_first=False,
    )
    backbone = kerascnn.create(
        "resnet50", include_top=False, input_shape=(128, 160, 3), stride_in="3x3"
    )
    maps = kerascnn.feature_extractor(backbone, ["C2", "C3", "C4", "C5"]).outputs
    model = detector(
        backbone.input,
        feature_pyramid(maps),
        classes=settings["classes"] - 1,
        pool=PyramidAlign((7, 7), name="roi_align"),
        pooled=4,
        anchors=[Anchors.torchvision([size]) for size in (32, 64, 128, 256, 512)],
        strides=None,
        answers=Detections(most=settings["detections_per_img"], name="detections"),
        hidden=(1024, 1024),
        dropout=0.0,
        width=256,
        two_scores=False,
        trained=thinning,
        tested=thinning,
    )
    state = {row[0]: synthetic(*row) for row in facts["parameters"]}
    body = {n.removeprefix("backbone.body."): v for n, v in state.items() if ".body." in n}
    report = kerascnn.weights.load(backbone, body, source="torchvision")
    assert not [*report.initial, *report.unused, *report.notes]
    others = {
        **{f"backbone.fpn.inner_blocks.{n}.0": f"fpn_c{n + 2}" for n in range(4)},
        **{f"backbone.fpn.layer_blocks.{n}.0": f"fpn_p{n + 2}" for n in range(4)},
        "rpn.head.conv.0.0": "rpn_conv",
        "rpn.head.cls_logits": "rpn_cls_score",
        "rpn.head.bbox_pred": "rpn_bbox_pred",
        "roi_heads.box_head.fc6": "fc6",
        "roi_heads.box_head.fc7": "fc7",
        "roi_heads.box_predictor.cls_score": "cls_score",
        "roi_heads.box_predictor.bbox_pred": "bbox_pred",
    }
    assert len(body) + 2 * len(others) == len(state)
    for its, name in others.items():
        pair = [ours(state[f"{its}.{part}"]) for part in ("weight", "bias")]
        model.get_layer(name).set_weights(pair)

    names = ("fpn_p4", "fpn_p6", "proposals", "roi_align", "cls_score", "bbox_pred", "detections")
    stages = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    found = {name: part.numpy()[0] for name, part in stages(image_of(facts)).items()}

    for name, expected in (("fpn_p4", "features_2"), ("fpn_p6", "features_pool")):
        limit = 1e-4 * np.abs(arrays[expected]).max()
        np.testing.assert_allclose(found[name][..., ::8], arrays[expected][0], rtol=0, atol=limit)
    np.testing.assert_allclose(found["proposals"][:, :4], arrays["proposals"], rtol=1e-4, atol=1e-2)
    means = found["roi_align"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, arrays["roi_features_mean"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["cls_score"], arrays["class_logits"], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found["bbox_pred"], arrays["box_regression"], rtol=1e-3, atol=1e-2)
    agree(found["detections"], arrays)


@pytest.mark.parametrize(("two_scores", "params"), [(True, 2_387_510), (False, 2_382_893)])
def test_a_proposal_network_has_the_papers_parameters(two_scores, params):
    """On VGG-16 with nine anchors; one logit of each, as torchvision's, saves 9 × 513."""
    image, maps = keras.Input((64, 64, 3)), keras.Input((4, 4, 512))
    rows = propose([maps], image, strides=[16], anchors=[Anchors.papers()], two_scores=two_scores)
    model = keras.Model([image, maps], rows)
    assert model.count_params() == params == 2_387_510 - (0 if two_scores else 9 * 513)
    logits = model.get_layer("rpn_logits" if two_scores else "rpn_cls_score").output
    assert logits.shape == (None, 4, 4, 9)
    assert model.get_layer("rpn_bbox_pred").output.shape == (None, 4, 4, 36)


@pytest.mark.slow
def test_fast_and_faster_r_cnn_have_the_papers_parameters():
    """134,690,729 and 137,078,239 with VGG-16's convolutions, 14,714,688."""
    maps, rows = keras.Input((4, 4, 512)), keras.Input((2, 4))
    head = classify([maps], rows, pool=RoIPool((7, 7), stride=16), classes=20)
    params = keras.Model([maps, rows], head).count_params()
    assert params + 14_714_688 == 134_690_729
    assert params + 14_714_688 + 2_387_510 == 137_078_239


POOLS = {
    "roi_pool": lambda: RoIPool((3, 3), stride=8),
    "roi_align": lambda: RoIAlign((3, 3), stride=8),
    "pyramid_align": lambda: PyramidAlign((3, 3), strides=(8,)),
}
SMALL = Thinning(before=50, after=8, least_side=2.0)


@pytest.fixture(scope="module")
def small():
    """Of two convolutions, in mixed precision, where its layers stay in float32."""
    keras.utils.set_random_seed(1)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        image = keras.Input((32, 48, 3))
        x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu", name="conv1")(image)
        x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="conv2")(x)
        return detector(
            image,
            [x],
            classes=3,
            strides=[8],
            anchors=[Anchors.papers((1, 2), base=8)],
            pool=RoIAlign((3, 3), stride=8, name="roi_align"),
            answers=Detections(most=5, least_score=0.01, lesson=FAST, name="detections"),
            hidden=(16,),
            width=8,
            trained=SMALL,
            tested=SMALL,
        )
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(size=(2, 32, 48, 3)).astype("float32")


def test_a_detector_answers_with_rows_of_six_in_float32(small, image):
    rows = small(image).numpy()
    assert rows.shape == (2, 5, 6)
    assert rows.dtype == np.float32
    there = rows[..., 4] != ABSENT
    assert there.any()
    assert (rows[there][:, 2:4] <= [48, 32]).all()
    scores = np.where(there, rows[..., 5], -1)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_network_that_has_diverged_proposes_nothing_and_reads_no_cell_beyond_its_maps():
    """Its loss is to be NaN, which a training tells; it must not end in an error of a kernel."""
    nothing, image = np.full((1, 4, 4, 9), np.nan, "float32"), np.zeros((1, 64, 64, 3), "float32")
    layer = Proposals(anchors=[Anchors.papers()], strides=[16], trained=SMALL, tested=SMALL)
    rows = layer([nothing, np.full((1, 4, 4, 36), np.nan, "float32"), image]).numpy()
    np.testing.assert_array_equal(rows, np.broadcast_to([0, 0, 0, 0, ABSENT, 0], rows.shape))
    boxes = np.array([[[np.nan, 0, 9, 9], [0, 0, np.inf, 9], [-np.inf, 0, 9, 9]]], "float32")
    maps = np.ones((1, 4, 4, 2), "float32")
    for pool in POOLS.values():
        assert pool()([maps, boxes]).shape == (1, 3, 3, 3, 2)


def test_a_saved_detector_is_the_same(small, image, tmp_path):
    small.save(tmp_path / "model.keras")
    twin = kerascnn.load_model(tmp_path / "model.keras")
    for name in ("proposals", "detections", "roi_align"):
        assert twin.get_layer(name).get_config() == small.get_layer(name).get_config()
    np.testing.assert_array_equal(twin(image), small(image))


@pytest.mark.slow
def test_an_exported_and_a_compiled_detector_are_the_same(small, image, tmp_path):
    small.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    expected = small(image).numpy()
    np.testing.assert_allclose(served.serve(image), expected, rtol=1e-2, atol=1e-2)
    compiled = tf.function(lambda images: small(images), jit_compile=True)
    np.testing.assert_allclose(compiled(image), expected, rtol=1e-2, atol=1e-2)


@pytest.fixture(params=POOLS)
def of_one_image(request):
    """A float32 detector of one image, and the same as a graph."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 48, 3), batch_size=1)
    x = keras.layers.Conv2D(8, 3, 4, "same", activation="relu")(image)
    model = detector(
        image,
        [keras.layers.Conv2D(8, 3, 2, "same", activation="relu")(x)],
        classes=3,
        strides=[8],
        anchors=[Anchors.papers((1, 2), base=8)],
        pool=POOLS[request.param](),
        answers=Detections(most=5, least_score=0.01),
        hidden=(16,),
        width=8,
        trained=SMALL,
        tested=SMALL,
    )
    graph = tf.function(lambda x: model(x, training=False))
    return model, graph, [tf.TensorSpec((1, 32, 48, 3))]


@pytest.mark.slow
@pytest.mark.parametrize("of_one_image", ["roi_pool"], indirect=True)  # 20 s each
def test_a_detector_with_its_suppression_runs_in_onnx_runtime(of_one_image, image):
    onnx, runtime = pytest.importorskip("tf2onnx"), pytest.importorskip("onnxruntime")
    model, graph, signature = of_one_image
    proto, _ = onnx.convert.from_function(graph, input_signature=signature, opset=17)
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {session.get_inputs()[0].name: image[:1]})
    np.testing.assert_allclose(found, model(image[:1]), atol=1e-4)


@pytest.mark.slow
def test_a_detector_with_its_suppression_runs_in_litert(of_one_image, image):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    model, graph, signature = of_one_image
    concrete = graph.get_concrete_function(*signature)
    converted = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    interpreter = litert.Interpreter(model_content=converted)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[:1])
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(image[:1]), atol=1e-4)


def test_margins_of_linear_svms_are_scores_without_a_background():
    """A sigmoid for each class; what the others and the background have doesn't matter."""
    image, rows = np.zeros((1, 40, 40, 3)), np.array([[[5, 5, 25, 25, 0, 1]]], "float32")
    codes = np.zeros((1, 1, 12), "float32")
    layer = Detections(scores=MARGINS, most=2, least_score=0.5)
    for background in (-9, 9):
        found = layer([np.array([[[background, 1, -1]]]), codes, rows, image]).numpy()
        np.testing.assert_allclose(found[0, 0], [5, 5, 25, 25, 0, 1 / (1 + np.exp(-1))], rtol=1e-6)
        assert found[0, 1, 4] == ABSENT
    with pytest.raises(ArgumentError, match="logits, margins"):
        Detections(scores="votes")
