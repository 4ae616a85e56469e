"""Endpoints, feature extractors and sliding heads, on our networks and keras.applications'."""

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values

# Name → layer, stride, channels, as the papers that build on these backbones use them: FCN reads
# pool3 and pool4 of VGG, Faster R-CNN block5_conv3; Mask R-CNN and FPN read ResNet's C2 to C5.
EXPECTED = {
    "VGG16": {
        "C1": ("block2_conv2", 2, 128),
        "C3": ("block4_conv3", 8, 512),
        "C4": ("block5_conv3", 16, 512),
        "C5": ("block5_pool", 32, 512),
        "pool3": ("block3_pool", 8, 256),
        "pool4": ("block4_pool", 16, 512),
        "pool5": ("block5_pool", 32, 512),
    },
    "ResNet50": {
        "C1": ("conv1_relu", 2, 64),
        "C2": ("conv2_block3_out", 4, 256),
        "C3": ("conv3_block4_out", 8, 512),
        "C4": ("conv4_block6_out", 16, 1024),
        "C5": ("conv5_block3_out", 32, 2048),
        "pool1": ("pool1_pool", 4, 64),
    },
    "DenseNet121": {"C4": ("pool4_conv", 16, 512), "C5": ("relu", 32, 1024)},
    "InceptionV3": {"C3": ("mixed2", 8, 288), "C4": ("mixed7", 16, 768)},
    # Squeeze-and-excitation: each unit sees the whole image, the stride is known nevertheless.
    "EfficientNetB0": {"C2": ("block3a_expand_activation", 4, 144)},
}


@pytest.mark.parametrize("include_top", [True, False])
@pytest.mark.parametrize("name", EXPECTED)
def test_endpoints_of_keras_applications(name, include_top):
    with without_values():
        model = getattr(keras.applications, name)(weights=None, include_top=include_top)
    found = kerascnn.endpoints(model)
    for key, expected in EXPECTED[name].items():
        assert (found[key].layer, found[key].stride, found[key].channels) == expected
    assert next(iter(found)) == "C1"


def test_an_endpoint_is_no_tensor_that_a_shortcut_goes_around():
    """ResNet v1.5 reduces in its 3×3: two layers of the next block still have the old stride."""
    x = inputs = keras.Input((32, 32, 4))
    x = layers.Conv2D(4, 3, 2, padding="same", name="stem")(x)
    y = layers.Conv2D(4, 1, name="reduce")(x)
    y = layers.Conv2D(8, 3, 2, padding="same", name="conv")(y)
    x = layers.Add(name="add")([y, layers.Conv2D(8, 1, 2, name="shortcut")(x)])
    found = kerascnn.endpoints(keras.Model(inputs, x))
    assert {name: end.layer for name, end in found.items()} == {"C1": "stem", "C2": "add"}


def test_a_layer_that_picks_the_pixels_of_a_convolution_is_no_endpoint():
    """`NAME_sample`, before strided 1×1 convolutions of few maps."""
    with without_values():
        wide = kerascnn.create("resnet18", stem_width=16)
        narrow = kerascnn.create("resnet18", stem_width=8, stem_kernel=1)
    assert "conv1_conv_sample" in {layer.name for layer in narrow.layers}
    assert kerascnn.endpoints(narrow).keys() == kerascnn.endpoints(wide).keys()


def test_a_layer_that_reads_nothing_but_the_images_size_is_no_way_around_a_map():
    """It says so by `maps_read`, as those of detectors do, which make boxes of a map."""
    x = inputs = keras.Input((32, 32, 4))
    for number in (1, 2):
        x = layers.Conv2D(4, 3, 2, padding="same", name=f"conv{number}")(x)
    boxes = layers.Lambda(lambda given: keras.ops.mean(given[0], (1, 2)), (4,), name="boxes")
    boxes.maps_read = 1
    found = kerascnn.endpoints(keras.Model(inputs, boxes([x, inputs])))
    assert {name: end.layer for name, end in found.items()} == {"C1": "conv1", "C2": "conv2"}


def test_scores_are_no_features_though_they_lie_on_a_map():
    """NiN's classifier is a convolution; convolutionalize makes one of any dense layer."""
    with without_values():
        trunk, whole = (kerascnn.create("nin", include_top=top) for top in (False, True))
        assert kerascnn.endpoints(whole) == kerascnn.endpoints(trunk)
        assert kerascnn.endpoints(trunk)["C5"].layer == "cccp7_relu"
    model = kerascnn.create("lenet5")
    sliding = kerascnn.endpoints(kerascnn.convolutionalize(model))
    assert {k: v.layer for k, v in sliding.items()} == {
        k: v.layer for k, v in kerascnn.endpoints(model).items()
    }


def test_endpoints_survive_saving(tmp_path):
    model = kerascnn.create("lenet5")
    before = kerascnn.endpoints(model)
    assert {k: v.layer for k, v in before.items()} == {
        "C1": "conv2_tanh",
        "C2": "pool2",
        "pool1": "pool1",
        "pool2": "pool2",
    }
    model.save(tmp_path / "model.keras")
    assert kerascnn.endpoints(keras.models.load_model(tmp_path / "model.keras")) == before


def test_feature_extractor_gives_the_maps_in_the_order_asked_for():
    model = kerascnn.create("lenet5")
    image = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    maps = kerascnn.feature_extractor(model, ["C2", "conv1", "C1"])(image)
    assert [tuple(m.shape[1:]) for m in maps] == [(5, 5, 16), (28, 28, 6), (10, 10, 16)]
    assert np.array_equal(maps[1], model.get_layer("conv1")(image))
    single = kerascnn.feature_extractor(model, "logits")(image)
    assert np.allclose(single, model(image))
    with pytest.raises(ArgumentError, match=r"'C7'.*Endpoints: C1, C2, pool1, pool2"):
        kerascnn.feature_extractor(model, ["C1", "C7"])
    with pytest.raises(ArgumentError, match=r"at least one.*Received: \[\]"):
        kerascnn.feature_extractor(model, [])


def small_vgg():
    with_dropout = [layers.Dropout(0.5), layers.Dense(12, "relu"), layers.BatchNormalization()]
    return keras.Sequential(
        [
            keras.Input((20, 28, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            *with_dropout,
            layers.Dense(5),
            layers.Softmax(),
        ],
        name="small_vgg",
    )


def small_resnet(pooling):
    x = inputs = keras.Input((18, 14, 2))
    x = layers.Conv2D(4, 3, 2, name="a")(x)
    x = x + layers.Conv2D(4, 3, padding="same", name="b")(x) * 0.5
    logits = layers.Dense(5)(pooling()(x))
    return keras.Model(inputs, [logits, layers.Dense(2)(layers.Flatten()(x))])


@pytest.mark.parametrize(
    "make",
    [
        small_vgg,
        lambda: small_resnet(layers.GlobalAveragePooling2D),
        lambda: small_resnet(layers.GlobalMaxPooling2D),
        lambda: kerascnn.create("lenet5", dropout=0.5),
    ],
)
def test_a_sliding_network_scores_each_window_as_the_network_does(make):
    """At the native size the same numbers; at a larger one, those of each window cut out."""
    keras.utils.set_random_seed(3)
    model = make()
    sliding = kerascnn.convolutionalize(model)
    _, height, width, channels = model.inputs[0].shape
    random = np.random.default_rng(1)
    image = random.random((2, height + 8, width + 12, channels), "float32")
    native = _list(model(image[:, :height, :width]))
    moved = _list(sliding(image[:, :height, :width]))
    for ours, theirs in zip(moved, native):
        assert ours.shape == (2, 1, 1, theirs.shape[1])
        assert np.allclose(ours[:, 0, 0], theirs, atol=1e-6)
    scores = _list(sliding(image))[0]
    assert scores.shape[1] > 1
    assert scores.shape[2] > scores.shape[1]
    if make is small_vgg:  # without padding, a window knows nothing of what is around it
        for row, column in ((0, 3), (2, 1)):
            window = image[:, 2 * row :, 2 * column :][:, :height, :width]
            assert np.allclose(scores[:, row, column], model(window), atol=1e-6)
        assert np.allclose(np.sum(scores, -1), 1, atol=1e-5)


def _list(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def test_a_sliding_network_has_its_own_weights():
    model = kerascnn.create("lenet5")
    sliding = kerascnn.convolutionalize(model)
    assert sliding.count_params() == model.count_params()
    assert [w.path for w in sliding.weights] == [w.path for w in model.weights]
    before = model.get_layer("conv1").kernel.numpy()
    sliding.get_layer("conv1").kernel.assign(before + 1)
    assert np.array_equal(model.get_layer("conv1").kernel, before)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: kerascnn.create("lenet5", include_top=False), "no head"),
        (lambda: kerascnn.create("lenet5_1998"), r"logits \(RadialBasis\)"),
        (
            lambda: kerascnn.create("lenet5", include_top=False, pooling="avg"),
            "input size is open",
        ),
    ],
)
def test_what_cannot_slide_is_refused(model, message):
    with pytest.raises(ArgumentError, match=message):
        kerascnn.convolutionalize(model())


@pytest.mark.slow
def test_vgg16_slides():
    model = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=10)
    sliding = kerascnn.convolutionalize(model)
    image = np.random.default_rng(0).random((1, 64, 64, 3), "float32") * 255
    assert np.allclose(sliding(image)[:, 0, 0], model(image), atol=1e-6)
    assert sliding.compute_output_shape((1, 128, 96, 3)) == (1, 3, 2, 10)


# --- models within models ------------------------------------------------------------------------


def lenet_inside(form, **arguments):
    """LeNet-5 as the base of another model, behind and before layers of its own."""
    base = kerascnn.create("lenet5", include_top=False, input_shape=(32, 32, 1), **arguments)
    head = (layers.Flatten(), layers.Dense(5, "softmax", name="mine"))
    if form == "sequential":
        return keras.Sequential([keras.Input((32, 32, 1)), base, *head]), base
    inputs = keras.Input((32, 32, 1))
    x = base(layers.Rescaling(0.5)(inputs))
    for layer in head:
        x = layer(x)
    inner = keras.Model(inputs, x)
    if form == "functional":
        return inner, base
    outer = keras.Input((32, 32, 1))  # a model in a model in a model
    return keras.Model(outer, layers.Activation("linear", name="end")(inner(outer))), base


FORMS = ["sequential", "functional", "twice"]


@pytest.mark.parametrize("form", FORMS)
def test_features_of_a_nested_model(form):
    """The maps that the outer model computes, by every name that `endpoints` gives."""
    model, base = lenet_inside(form)
    found = kerascnn.endpoints(model)
    inside = kerascnn.endpoints(base)
    assert {k: e.layer.rpartition("/")[2] for k, e in found.items()} == {
        k: e.layer for k, e in inside.items()
    }
    image = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    seen = image if form == "sequential" else 0.5 * image
    for name, endpoint in found.items():
        expected = kerascnn.feature_extractor(base, name)(seen)
        for called in (name, endpoint.layer, endpoint.layer.rpartition("/")[2]):
            maps = kerascnn.feature_extractor(model, called)(image)
            np.testing.assert_allclose(maps, expected, atol=1e-6)
    scores = kerascnn.feature_extractor(model, ["conv1", "mine"])(image)[1]
    np.testing.assert_allclose(scores, model(image), atol=1e-6)
    with pytest.raises(ArgumentError, match=r"no feature map 'C9'.*Endpoints: C1") as caught:
        kerascnn.feature_extractor(model, "C9")
    for name in str(caught.value).split("such as ")[1].split(". Received")[0].split(", "):
        kerascnn.feature_extractor(model, name)  # the advice works


@pytest.mark.parametrize("form", FORMS)
def test_a_nested_model_slides(form):
    model, _ = lenet_inside(form)
    image = np.random.default_rng(0).random((1, 40, 32, 1), "float32")
    sliding = kerascnn.convolutionalize(model)
    np.testing.assert_allclose(sliding(image)[:, 0, 0], model(image[:, :32]), atol=1e-5)
    assert sliding(image).shape[1:] == (3, 1, 5)


def test_layers_of_one_name_in_two_nested_models():
    """Each is found by its whole name; one graph can't have both."""
    inputs = keras.Input((32, 32, 1))
    made = [
        kerascnn.create("lenet5", include_top=False, input_shape=(32, 32, 1), name=name)(inputs)
        for name in ("left", "right")
    ]
    x = layers.Dense(3)(layers.Flatten()(layers.Add()(made)))
    model = keras.Model(inputs, x)
    both = (
        kerascnn.feature_extractor(model, "left/conv1"),
        kerascnn.feature_extractor(model, "right/conv1"),
    )
    image = np.random.default_rng(0).random((1, 32, 32, 1), "float32")
    assert not np.allclose(both[0](image), both[1](image))
    with pytest.raises(ArgumentError, match=r"2 called 'conv1'"):
        kerascnn.convolutionalize(model)
    with pytest.raises(ArgumentError, match="no feature map 'conv1'"):
        kerascnn.feature_extractor(model, "conv1")


def test_a_base_used_twice():
    """The second call has "#2" behind its name, as in the profile."""
    one, two = keras.Input((32, 32, 1)), keras.Input((32, 32, 1))
    base = kerascnn.create("lenet5", include_top=False, input_shape=(32, 32, 1))
    model = keras.Model([one, two], layers.Subtract()([base(one), base(two)]))
    assert "lenet5/conv1#2" in [row.name for row in kerascnn.profile(model).layers]
    random = np.random.default_rng(0)
    images = [random.random((1, 32, 32, 1), "float32") for _ in range(2)]
    for name, image in zip(("lenet5/conv1", "lenet5/conv1#2"), images):
        maps = kerascnn.feature_extractor(model, name)(images)
        expected = kerascnn.feature_extractor(base, "conv1")(image)
        np.testing.assert_allclose(maps, expected, atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_a_network_for_any_size_has_the_models_own_weights_and_answers(nested):
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, padding="same", name="conv")(x)
    y = layers.MaxPooling2D(name="pool")(x)
    y = layers.Conv2DTranspose(3, 2, 2, name="up")(y)
    x = layers.Concatenate(name="both")([x, y])
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="scores")(x))
    if nested:
        outer = keras.Input((8, 8, 2))
        model = keras.Model(outer, model(outer))
    found = kerascnn.any_size(model)
    assert found.output_shape == (None, None, None, 2)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")
    model.trainable_variables[0].assign_add(model.trainable_variables[0])
    np.testing.assert_array_equal(found(images), model(images))
    assert found(np.zeros((1, 12, 6, 2))).shape == (1, 12, 6, 2)


def test_a_network_that_flattens_its_maps_is_not_for_any_size():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ArgumentError, match=r"\(Flatten\) needs to know how large its maps are"):
        kerascnn.any_size(model)
