"""A network that is built upon another starts from that one's weights: all of them, or told why."""

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn import Backbone, Card, Param, Space, blocks
from kerascnn.applications.vgg import VGG11
from kerascnn.card import Preprocessing, Source
from kerascnn.errors import RunError, WeightsError
from kerascnn.runs.config import StartedFrom
from kerascnn.training.starting import described, expected_by
from kerascnn.weights import pretrained

SHAPE = (16, 16, 3)
SMALL = {"depths": (1, 1), "widths": (3, 4), "hidden": (5, 6), "norm": "batch"}
PIXELS = Preprocessing(scale=0.5, order="BGR")
SOURCE = Source(
    publisher="us", file="https://example.org/small.npz", digest="md5:0", preprocessing=PIXELS
)
SMALL_VGG = VGG11.variant("small_vgg", weights=(SOURCE,), **SMALL)
WIDER = VGG11.variant("wider_vgg", **SMALL | {"widths": (3, 8)})


def upon(values):
    return {"small": SMALL_VGG, "wider": WIDER}[values["upon"]].network(include_top=False)


def build(x, *, upon, side):
    network = {"small": SMALL_VGG, "wider": WIDER}[upon].network(include_top=False)
    x = network.features(x)
    x = blocks.conv(x, 5, side, name="fc6")
    return blocks.conv(x, 6, 1, name="fc7")


def head(x, *, classes):
    return blocks.global_avg_pool(blocks.conv(x, classes, 1, name="logits_map"), name="logits")


NET = kerascnn.Architecture(
    name="net",
    build=build,
    head=head,
    card=Card(title="", authors="", year=2000, link="", input_shape=SHAPE, classes=7),
    space=Space((Param("upon", "small", ("small", "wider")), Param("side", 4))),
    backbone=Backbone(network=upon, renamed={"fc1": "fc6", "fc2": "fc7"}),
)
ADDED = ("logits_map/kernel", "logits_map/bias")


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def classifier():
    return randomized(SMALL_VGG(input_shape=SHAPE, classes=9))


@pytest.fixture(scope="module")
def run(classifier, tmp_path_factory):
    """What matters of a run directory here."""
    path = tmp_path_factory.mktemp("run")
    classifier.save(path / "model.keras")
    return path


def weights_of(model):
    return {f"{x.name}/{v.name}": np.asarray(v) for x in model.layers for v in x.weights}


def test_the_backbone_has_its_weights_and_its_dense_layers_as_convolutions(classifier, run, capsys):
    model = NET(weights=f"backbone:{run}")
    theirs, ours = weights_of(classifier), weights_of(model)
    trunk = [name for name in theirs if name.startswith("block")]
    assert len(trunk) == 2 * 6
    for name in trunk:
        np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_array_equal(ours["fc6/kernel"].reshape(64, 5), theirs["fc1/kernel"])
    np.testing.assert_array_equal(ours["fc7/kernel"].reshape(5, 6), theirs["fc2/kernel"])
    np.testing.assert_array_equal(ours["fc7/bias"], theirs["fc2/bias"])
    assert not ours["logits_map/bias"].any()
    told = " ".join(capsys.readouterr().err.split())
    assert "16 arrays loaded from" in told
    assert "fc6/kernel, fc7/kernel: reshaped between a dense layer and a convolution" in told
    assert "Left at their initial values: logits_map/kernel, logits_map/bias." in told
    assert "Not needed by this model: logits/0, logits/1." in told


def test_a_file_and_a_run_will_do(classifier, run, tmp_path):
    """Of all kinds; the report tells the same."""
    np.savez(tmp_path / "a.npz", **weights_of(classifier))
    network = NET.network()
    reports = [
        network.load(network.model(), f"backbone:{path}", verbose=False)
        for path in (run, run / "model.keras", tmp_path / "a.npz")
    ]
    for report in reports:
        assert (len(report.loaded), set(report.adapted)) == (14, {"fc6/kernel", "fc7/kernel"})
        assert report.initial == ADDED
        assert {name.partition("/")[0] for name in report.unused} == {"logits"}


def test_dense_layers_of_another_input_size_stay_and_it_is_said(run):
    network = NET.network({"side": 3})
    report = network.load(network.model(), f"backbone:{run}", verbose=False)
    left = ("fc6/kernel", "fc6/bias", "fc7/kernel", "fc7/bias")
    assert set(report.initial) == {*left, *ADDED}
    assert len(report.loaded) == 12
    first, second = report.notes
    assert "fc6 stays at its initial values: fc6/kernel must be (3, 3, 4, 5). Received" in first
    assert "fc1/0 (here fc6/kernel) (64, 5)" in first
    assert second == "fc7 stays at its initial values: what it reads does, too."


def test_another_trunk_is_refused_and_nothing_changes(run):
    network = NET.network({"upon": "wider"})
    model = network.model()
    before = model.get_weights()
    with pytest.raises(
        WeightsError,
        match=r"doesn't fit net; nothing was loaded.\nOf another shape:\n  block2_conv1",
    ):
        network.load(model, f"backbone:{run}")
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_weights_without_a_layer_of_the_trunk_are_refused(classifier, tmp_path):
    arrays = {k: v for k, v in weights_of(classifier).items() if not k.startswith("block2_conv1/")}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(WeightsError, match="Not in the weights:\n  block2_conv1/kernel"):
        NET(weights=f"backbone:{tmp_path / 'a.npz'}")


def test_published_weights_are_the_backbones(classifier, tmp_path, monkeypatch):
    """They are in the cache here; what they expect of pixels comes with them."""
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path))
    file = f"{pretrained._key(SOURCE)}-top.{pretrained.RULES}.npz"
    (tmp_path / "weights").mkdir()
    np.savez(tmp_path / "weights" / file, **weights_of(classifier))
    model = NET(weights="backbone:imagenet", input_shape=(None, None, 3))
    np.testing.assert_array_equal(
        weights_of(model)["block1_conv1/kernel"], weights_of(classifier)["block1_conv1/kernel"]
    )
    network = NET.network()
    assert network.published("backbone:imagenet:us") is SOURCE
    image = np.full((4, 4, 3), 10.0)
    np.testing.assert_allclose(NET.preprocess_input(image, "backbone:imagenet"), 5.0)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            "imagenet",
            "published for net. Start from those of its backbone, as in weights='backbone",
        ),
        (
            "backbone:imagenet:keras",
            "small_vgg: weights must be 'imagenet', or one of 'imagenet:us'",
        ),
        ("backbone:nowhere", "small_vgg: weights must be None.*There is no file 'nowhere'"),
    ],
)
def test_weights_that_do_not_exist_are_refused_before_anything_is_built(weights, message):
    with pytest.raises(WeightsError, match=message):
        NET.network().require(weights)


def test_a_network_of_its_own_has_no_backbone():
    with pytest.raises(WeightsError, match="lenet5 is not built upon another network"):
        kerascnn.get("lenet5").network().require("backbone:imagenet")


def test_built_upon_another_than_its_own_it_sees_images_as_that_does():
    assert NET.network().preprocessing == NET.card.preprocessing
    assert NET.network({"upon": "wider"}).preprocessing == VGG11.card.preprocessing
    image = np.full((4, 4, 3), 10.0)
    np.testing.assert_allclose(
        NET.preprocess_input(image, upon="wider"), VGG11.preprocess_input(image)
    )


def test_a_run_remembers_the_file_and_sees_images_as_the_weights_expect(run, tmp_path):
    start = described(f"backbone:{run}")
    assert start.source == f"backbone:{run / 'model.keras'}"
    assert start.sha256 == described(run).sha256
    network = NET.network()
    assert expected_by(start, network) == network.preprocessing
    assert expected_by(StartedFrom(source="backbone:imagenet"), network) == PIXELS
    (run / "config.json").write_text("{}")
    try:
        with pytest.raises(RunError, match=r"config.json is damaged"):
            expected_by(start, network)
    finally:
        (run / "config.json").unlink()


def test_more_or_fewer_scored_maps_and_other_classes_start_where_they_are(tmp_path):
    """FCN-16s starts from FCN-32s, whose scores it has, and one more map's."""

    def scored(levels, classes):
        inputs = keras.Input((8, 8, 3))
        x = blocks.conv(inputs, 4, 3, name="block1_conv1")
        maps = [blocks.conv(x, classes, 1, name=f"score_{level}") for level in levels]
        total = blocks.add(*maps, name="fuse") if len(maps) > 1 else maps[0]
        return randomized(
            keras.Model(inputs, blocks.upsample(total, 2, learned=True, name="upscore2"))
        )

    coarse = scored(("fr",), 5)
    coarse.save_weights(tmp_path / "coarse.weights.h5")
    finer = scored(("fr", "pool4"), 5)
    report = kerascnn.weights.load(finer, tmp_path / "coarse.weights.h5")
    assert report.initial == ("score_pool4/kernel", "score_pool4/bias")
    finer.save_weights(tmp_path / "finer.weights.h5")
    report = kerascnn.weights.load(coarse, tmp_path / "finer.weights.h5")
    assert report.unused == ("score_pool4/0", "score_pool4/1")
    report = kerascnn.weights.load(scored(("fr",), 6), tmp_path / "coarse.weights.h5")
    assert report.initial == ("score_fr/kernel", "score_fr/bias", "upscore2/kernel")
    assert report.loaded == ("block1_conv1/kernel", "block1_conv1/bias")
