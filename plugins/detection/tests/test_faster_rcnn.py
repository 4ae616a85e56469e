"""Faster R-CNN against torchvision's with the same weights, and against the papers' counts."""

import zlib
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import two_stage
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.faster_rcnn import classify, propose
from kerascnn_detection.lessons import ANCHORS, JOINT
from kerascnn_detection.losses import SMOOTH_RPN
from kerascnn_detection.proposals import Thinning
from kerascnn_detection.pyramid import PyramidAlign
from kerascnn_detection.regions import RoIAlign, RoIPool
from kerascnn_detection.stages import MARGINS, Detections, Proposals
from kerascnn_detection.training import taught

import kerascnn
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values
from kerascnn.recipes import book
from kerascnn.sketch import Ledger, Sketch


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


def order_of(rows, expected):
    """Where each expected proposal is in ours. Scores that are alike may have changed places."""
    distances = np.abs(rows[None, :, :4] - expected[:, None]).max(axis=-1)
    order = distances.argmin(axis=1)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))
    assert (np.diff(rows[order, 5]) < 1e-4).all()
    return order


@pytest.mark.slow
def test_every_stage_is_torchvisions(golden):
    """VGG-16, 256×320 pixels: proposals, scores, codes, the boxes that are found, and the losses.

    In the golden's losses all anchors and proposals are drawn, 83 with the objects.
    """
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
    rows = propose(
        maps,
        backbone.input,
        anchors=[Anchors.torchvision(settings["anchors"][0], settings["ratios"])],
        strides=[16],
        two_scores=False,
        trained=thinning,
        tested=thinning,
        lesson=replace(ANCHORS, inside=False, count=2880, share=1.0),
    )
    pool = RoIPool((7, 7), stride=16)
    classes = settings["classes"] - 1
    head = classify(maps, rows, pool=pool, classes=classes, hidden=(256, 256), dropout=0.0)
    lesson = replace(JOINT, count=83, share=1.0, beta=SMOOTH_RPN)
    most = settings["detections_per_img"]
    answers = Detections(most=most, lesson=lesson, name="detections")
    model = keras.Model(backbone.input, answers([*head, rows, backbone.input]))
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
    order = order_of(found["proposals"], arrays["proposals"])
    for name in ("proposals", "cls_score", "bbox_pred"):
        found[name] = found[name][order]
    np.testing.assert_allclose(found["proposals"][:, :4], arrays["proposals"], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["cls_score"], arrays["class_logits"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["bbox_pred"], arrays["box_regression"], rtol=1e-3, atol=1e-3)
    agree(found["detections"], arrays)

    inputs = [x for name in ("detections", "proposals") for x in model.get_layer(name).input]
    scores = keras.Model(model.input, [model.output, *inputs[:-1]])
    targets = np.zeros((1, 3, 6), "float32")
    targets[0, :, :4], targets[0, :, 4] = arrays["target_boxes"], arrays["target_labels"] - 1
    outputs = taught(scores)([image_of(facts), targets, np.zeros((1, 3), "int32")], training=True)
    losses = {
        name: float(loss[0]) for name, loss in two_stage.losses(scores)(targets, outputs).items()
    }
    theirs = dict(
        zip(("classes", "boxes", *two_stage.RPN_PARTS), facts["losses_all_sampled"].values())
    )
    assert losses == pytest.approx(theirs, rel=1e-4)


def agree(rows, arrays):
    """Detections, row by row."""
    count = len(arrays["detections_labels"])
    assert (rows[count:, 4] == ABSENT).all()
    np.testing.assert_array_equal(rows[:count, 4] + 1, arrays["detections_labels"])
    np.testing.assert_allclose(rows[:count, :4], arrays["detections_boxes"], rtol=1e-4, atol=2e-2)
    np.testing.assert_allclose(rows[:count, 5], arrays["detections_scores"], atol=1e-4)


@pytest.mark.slow
def test_every_stage_on_a_pyramid_is_torchvisions(golden):
    """fasterrcnn_resnet50_fpn, 128×160 pixels; P6 has another stride down than across.

    The weights come in as those of torchvision's file do. That was trained with an epsilon of 0,
    the golden's network has 1e-5: it is added here.
    """
    facts, arrays = golden("torchvision-fasterrcnn-resnet50_fpn")
    settings = facts["settings"]
    model = kerascnn.create(
        "faster_rcnn_resnet50_fpn",
        input_shape=(128, 160, 3),
        classes=settings["classes"] - 1,
        candidates=settings["pre_nms_top_n"],
        proposals=settings["post_nms_top_n"],
        least_side=settings["rpn_min_size"],
        overlap=settings["box_nms_thresh"],
        most=settings["detections_per_img"],
    )
    state = {row[0]: synthetic(*row) for row in facts["parameters"]}
    for name in state:
        state[name] = state[name] + np.float32(1e-5 * name.endswith("running_var"))
    report = kerascnn.weights.load(model, state, source="torchvision")
    assert not [*report.initial, *report.unused, *report.notes, *report.ignored]
    assert len(report.loaded) + len(report.adapted) == len(model.weights)

    names = ("fpn_p4", "fpn_p6", "proposals", "roi_align", "cls_score", "bbox_pred", "detections")
    stages = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    found = {name: part.numpy()[0] for name, part in stages(image_of(facts)).items()}

    for name, expected in (("fpn_p4", "features_2"), ("fpn_p6", "features_pool")):
        limit = 1e-4 * np.abs(arrays[expected]).max()
        np.testing.assert_allclose(found[name][..., ::8], arrays[expected][0], rtol=0, atol=limit)
    order = order_of(found["proposals"], arrays["proposals"])
    for name in ("proposals", "roi_align", "cls_score", "bbox_pred"):
        found[name] = found[name][order]
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


def test_fast_r_cnn_has_the_papers_parameters():
    """134,690,729 with VGG-16's convolutions, 14,714,688."""
    maps, rows = Sketch((None, 4, 4, 512), Ledger()), Sketch((None, 2, 4), Ledger())
    classify([maps], rows, pool=RoIPool((7, 7), stride=16), classes=20)
    assert maps.ledger.params + 14_714_688 == 134_690_729


@pytest.mark.parametrize("name", ["faster_rcnn", "faster_rcnn_resnet50_fpn"])
def test_a_card_has_the_numbers_of_the_built_network(name):
    """torchvision states 41,755,286, without the scales of its frozen normalization, and 134.38e9.

    The paper's network has 137,078,239 in the authors' prototxt of 21 classes, background included.
    """
    architecture = kerascnn.get(name)
    card = architecture.card
    assert card.params == {"faster_rcnn": 137_078_239}.get(name, 41_755_286 + 53_120)
    assert (
        card.macs == 225_573_931_008 if name == "faster_rcnn" else round(card.macs / 1e7) == 13438
    )
    cost = architecture.cost()
    assert (cost.params, cost.macs) == (card.params, card.macs)
    with without_values():
        profile = kerascnn.profile(architecture())
    assert (profile.params, profile.macs, profile.uncounted) == (card.params, card.macs, ())
    smallest = architecture.network(include_top=False).smallest_input()
    assert card.smallest_input == (smallest, smallest)


def test_conv5_has_its_cost_for_each_proposal():
    """300 of 14×14×1024, and conv1 to conv4 on 600×1000, counted by hand from ResNet's table 1.

    ResNet-50 has 23,508,032 parameters without its dense layer, of which none is left out; the
    proposal network's 3×3 reads 1,024 maps here, and 9 anchors have 2 scores and 4 numbers each.
    """
    architecture = kerascnn.get("faster_rcnn_resnet50_c4")
    proposing = (9 * 1024 * 512 + 512) + (512 + 1) * 9 * (2 + 4)
    answering = (2048 + 1) * 21 * (1 + 4)
    first = 49 * (1024 * 512 + 9 * 512**2 + 512 * 2048 + 1024 * 2048)
    others = 2 * 49 * (2048 * 512 + 9 * 512**2 + 512 * 2048)
    image = architecture.network({}, include_top=False)
    whole = sum(
        width * height * kernels
        for width, height, kernels in (
            (500, 300, 49 * 3 * 64),
            (250, 150, 3 * (9 * 64**2 + 64 * 256) + 64 * 64 + 2 * 256 * 64 + 64 * 256),
            (125, 75, 4 * (9 * 128**2 + 128 * 512) + 3 * 512 * 128 + 256 * 128 + 256 * 512),
            (63, 38, 6 * (9 * 256**2 + 256 * 1024) + 5 * 1024 * 256 + 512 * 256 + 512 * 1024),
            (63, 38, 9 * 1024 * 512 + 512 * 9 * 6),
        )
    )
    cost, card = architecture.cost(), architecture.card
    assert cost.params == card.params == 23_508_032 + proposing + answering == 28_469_983
    assert cost.macs == card.macs == whole + 300 * (first + others + 2048 * 21 * 5)
    assert card.smallest_input == (image.smallest_input(),) * 2
    with without_values():
        profile = kerascnn.profile(architecture())
    assert (profile.params, profile.macs, profile.uncounted) == (card.params, card.macs, ())


def test_the_last_stage_of_a_classifier_runs_on_proposals_alone(tmp_path):
    """Its layers have one call, that on proposals, and the classifier's weights."""
    classifier = kerascnn.create(
        "resnet20_cifar",
        input_shape=(32, 32, 3),
        classes=4,
        depths=(1, 1, 1),
        widths=(4, 6, 8),
        shortcut="B",
    )
    classifier.save_weights(tmp_path / "classifier.weights.h5")
    model = kerascnn.create(
        "faster_rcnn_resnet50_c4",
        input_shape=(32, 48, 3),
        weights=f"backbone:{tmp_path / 'classifier.weights.h5'}",
        **STAGE,
    )
    names = [layer.name for layer in classifier.layers if layer.name.startswith("conv4")]
    assert model.get_layer(names[-1]).output.shape[1:] == (2, 2, 8)  # of 4×4, not of 16×24
    for name in names:
        for found, expected in zip(
            model.get_layer(name).get_weights(), classifier.get_layer(name).get_weights()
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_network_takes_images_of_any_size():
    """On a pyramid; one map is no more than that."""
    name, arguments = NETWORKS["pyramid"]
    keras.utils.set_random_seed(1)
    fixed = kerascnn.create(name, input_shape=(32, 48, 3), **arguments)
    free = kerascnn.create(name, input_shape=(None, None, 3), **arguments)
    free.set_weights(fixed.get_weights())
    compiled = tf.function(free, input_signature=[tf.TensorSpec((None, None, None, 3))])
    images = np.random.default_rng(0).uniform(size=(1, 32, 48, 3)).astype("float32")
    np.testing.assert_allclose(compiled(images), fixed(images), rtol=1e-3, atol=1e-3)
    assert compiled(images[:, :16, :16]).shape == (1, 5, 6)


def test_what_cant_be_is_refused_before_it_is_built():
    def refused(name, arguments, message, shape=(32, 48, 3)):
        with pytest.raises(ArgumentError, match=message):
            kerascnn.create(name, input_shape=shape, **arguments)

    refused("faster_rcnn", ONE_MAP, 'roi="align"', (None, None, 3))
    refused("faster_rcnn", {**ONE_MAP, "stride": 16}, "resnet20_cifar's maps, 2, 4")
    refused("faster_rcnn", {**ONE_MAP, "backbone": "resnet81"}, "resnet81")
    sizes = {**PYRAMID, "anchor_sizes": (8.0, 16.0)}
    refused("faster_rcnn_resnet50_fpn", sizes, "one for each of resnet20_cifar's maps")
    refused("faster_rcnn_resnet50_fpn", {**PYRAMID, "finest": 32}, "strides 32")
    refused("faster_rcnn_resnet50_c4", {**STAGE, "stride": 4}, "last map, 4")


def test_there_are_no_more_proposals_than_anchors():
    model = kerascnn.create("faster_rcnn", input_shape=(8, 8, 3), **{**ONE_MAP, "proposals": 300})
    assert model.get_layer("proposals").output.shape == (None, 4 * 6, 6)


def test_a_network_starts_from_a_classifiers_weights(tmp_path):
    """With VGG's fc6 and fc7, which it has behind the regions; the rest stays as it is."""
    own = {"depths": (1, 1), "widths": (4, 6)}
    of_vgg = {
        "backbone": "vgg11",
        "backbone_arguments": "depths=1,1 widths=4,6",
        "stride": 2,
        "head_widths": (9, 7),
    }
    vgg = kerascnn.create("vgg11", input_shape=(12, 12, 3), classes=4, hidden=(9, 7), **own)
    vgg.save_weights(tmp_path / "vgg.weights.h5")
    model = kerascnn.create(
        "faster_rcnn",
        input_shape=(32, 32, 3),
        weights=f"backbone:{tmp_path / 'vgg.weights.h5'}",
        **ONE_MAP | of_vgg,
    )
    for ours, theirs in (("block1_conv1", "block1_conv1"), ("fc6", "fc1"), ("fc7", "fc2")):
        for found, expected in zip(
            model.get_layer(ours).get_weights(), vgg.get_layer(theirs).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


POOLS = {
    "roi_pool": lambda: RoIPool((3, 3), stride=8),
    "roi_align": lambda: RoIAlign((3, 3), stride=8),
    "pyramid_align": lambda: PyramidAlign((3, 3), strides=(8,)),
}
SMALL = {
    "backbone": "resnet20_cifar",
    "backbone_arguments": "depths=1,1,1 widths=4,6,8 shortcut=B",
    "rpn_width": 8,
    "candidates": 50,
    "proposals": 8,
    "least_side": 2.0,
    "roi_size": 3,
    "head_widths": (16,),
    "most": 5,
    "least_score": 0.01,
    "classes": 3,
}
ONE_MAP = {**SMALL, "stride": 4, "anchor_sizes": (8.0, 16.0)}
STAGE = {key: value for key, value in SMALL.items() if key != "head_widths"}
STAGE = {**STAGE, "stride": 2, "roi_size": 4, "anchor_sizes": (8.0, 16.0)}
PYRAMID = {**SMALL, "finest": 2, "anchor_sizes": (8.0, 16.0, 24.0), "pyramid_width": 8}
NETWORKS = {
    "pool": ("faster_rcnn", ONE_MAP),
    "align": ("faster_rcnn", {**ONE_MAP, "roi": "align"}),
    "pyramid": ("faster_rcnn_resnet50_fpn", PYRAMID),
    "stage": ("faster_rcnn_resnet50_c4", STAGE),
}


@pytest.fixture(scope="module")
def small():
    """In mixed precision, where layers of boxes stay in float32."""
    keras.utils.set_random_seed(1)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return kerascnn.create("faster_rcnn", input_shape=(32, 48, 3), **ONE_MAP)
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
    few = Thinning(before=50, after=8)
    layer = Proposals(anchors=[Anchors.papers()], strides=[16], trained=few, tested=few)
    rows = layer([nothing, np.full((1, 4, 4, 36), np.nan, "float32"), image]).numpy()
    np.testing.assert_array_equal(rows, np.broadcast_to([0, 0, 0, 0, ABSENT, 0], rows.shape))
    boxes = np.array([[[np.nan, 0, 9, 9], [0, 0, np.inf, 9], [-np.inf, 0, 9, 9]]], "float32")
    maps = np.ones((1, 4, 4, 2), "float32")
    for pool in POOLS.values():
        assert pool()([maps, boxes]).shape == (1, 3, 3, 3, 2)


def test_a_saved_detector_is_the_same(small, image, tmp_path):
    small.save(tmp_path / "model.keras")
    twin = kerascnn.load_model(tmp_path / "model.keras")
    for name in ("proposals", "detections", "roi_pool"):
        assert twin.get_layer(name).get_config() == small.get_layer(name).get_config()
    np.testing.assert_array_equal(twin(image), small(image))


@pytest.mark.slow
def test_an_exported_and_a_compiled_detector_are_the_same(small, image, tmp_path):
    small.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    compiled = tf.function(lambda images: small(images), jit_compile=True)

    def in_order(rows):
        """In half precision scores are nearly alike, and change places."""
        return [one[np.lexsort(np.round(one[:, :5].T))] for one in rows.numpy()]

    for found in (served.serve(image), compiled(image)):
        np.testing.assert_allclose(in_order(found), in_order(small(image)), rtol=1e-2, atol=1e-2)


@pytest.fixture(params=NETWORKS)
def of_one_image(request):
    """A float32 detector of one image, and the same as a graph."""
    keras.utils.set_random_seed(1)
    name, arguments = NETWORKS[request.param]
    image = keras.Input((32, 48, 3), batch_size=1)
    model = kerascnn.create(name, input_tensor=image, **arguments)
    graph = tf.function(lambda x: model(x, training=False))
    return model, graph, [tf.TensorSpec((1, 32, 48, 3))]


@pytest.mark.slow
@pytest.mark.parametrize("of_one_image", ["pool"], indirect=True)  # 20 s each
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


def test_the_papers_recipe_has_as_many_iterations_as_the_authors_solver():
    """Of VOC 2007's 5,011 images: 70,000, with a tenth of the rate from 50,000 on."""
    for name in ("faster_rcnn", "faster_rcnn_resnet50_fpn"):
        assert book.get(kerascnn.get(name).paper_recipe).network == name
    found = book.get("faster_rcnn")
    assert found.epochs * 5011 / found.batch_size == pytest.approx(70_000, rel=0.01)
    assert found.steps[0][0] * 5011 / found.batch_size == pytest.approx(50_000, rel=0.01)


@pytest.mark.parametrize("kind", ["pool", "pyramid", "stage"])
def test_all_weights_are_drawn_from_the_seed(kind):
    """A layer's initializer that outlives its network would draw the same for each seed."""
    name, arguments = NETWORKS[kind]

    def kernels(seed):
        keras.utils.set_random_seed(seed)
        model = kerascnn.create(name, input_shape=(32, 48, 3), **arguments)
        return {v.path: v.numpy() for v in model.trainable_variables if v.name == "kernel"}

    first, again, other = map(kernels, (1, 1, 2))
    for path, kernel in first.items():
        np.testing.assert_array_equal(kernel, again[path])
        assert not np.array_equal(kernel, other[path]), path
