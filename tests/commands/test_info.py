"""`kerascnn info` and `kerascnn compare`, as a user calls them."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import kerascnn
from kerascnn import registry
from kerascnn.card import Card, Result
from kerascnn.cli import app
from kerascnn.commands.compare import _protocols, _rows, comparable
from kerascnn.training.trainer import train
from kerascnn.words import rounded


def run(*arguments):
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": "120"}
    )
    if result.exception:
        raise result.exception
    return result.output


def test_card_arguments_and_layers_of_a_small_network():
    shown = run("info", "lenet5")
    for text in (
        "Gradient-Based Learning",
        "https://doi.org/10.1109/5.726791",
        "61,706",
        "classification",
        "416,520",
        "16×16",
        "widths",
        "6, 16",
        "an integer from 1 to 15",
        "conv2_tanh",
        "14 / 2",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("vgg16", "pixel - (103.939, 116.779, 123.68), BGR"),
        ("resnet18", "(pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), RGB"),
        ("lenet5_1998", "pixel / 200 - 0.1, RGB"),
    ],
)
def test_preprocessing_is_a_formula_without_idle_steps(name, formula):
    assert formula in run("info", name)


def test_a_deep_network_lists_its_layers_when_asked():
    assert "--layers" in run("info", "resnet20_cifar")
    assert "conv4_block3_out" not in run("info", "resnet20_cifar")
    assert "conv4_block3_out" in run("info", "resnet20_cifar", "--layers")


def test_json_is_the_architecture_that_was_asked_for():
    arguments = ("--set", "widths=8,24", "--input-shape", "40x48x3", "--classes", 26)
    shown = json.loads(run("info", "lenet5", *arguments, "--json"))
    cost = kerascnn.get("lenet5").cost((40, 48, 3), 26, widths=(8, 24))
    assert (shown["params"], shown["macs"]) == (cost.params, cost.macs)
    assert shown["input_shape"] == [40, 48, 3]
    assert shown["output_shapes"] == [[26]]
    assert shown["receptive_field"] == {"size": [14, 14], "stride": [2, 2], "start": [0, 0]}
    assert shown["card"]["params"] == 61_706
    assert [row["name"] for row in shown["arguments"]][:2] == ["widths", "kernels"]
    assert sum(layer["params"] for layer in shown["layers"]) == cost.params


def test_vgg16_is_shown_without_allocating_it():
    """138 million parameters; with values they would be half a gigabyte."""
    shown = json.loads(run("info", "vgg16", "--json"))
    assert (shown["params"], shown["macs"]) == (138_357_544, 15_470_264_320)


# As a lecture counts them (figure 2 of the paper: two towers), without biases.
ALEXNET_WEIGHTS = {
    "conv1": (11 * 11 * 3 * 96, 34_848),
    "conv2": (5 * 5 * 48 * 256, 307_200),
    "conv3": (3 * 3 * 256 * 384, 884_736),
    "conv4": (3 * 3 * 192 * 384, 663_552),
    "conv5": (3 * 3 * 192 * 256, 442_368),
    "fc6": (6 * 6 * 256 * 4096, 37_748_736),
    "fc7": (4096 * 4096, 16_777_216),
    "logits": (4096 * 1000, 4_096_000),
}


def test_the_weights_of_alexnet_are_the_lecture_s():
    shown = run("info", "alexnet", "--weights")
    layers = json.loads(run("info", "alexnet", "--weights", "--json"))["layers"]
    found = {layer["name"]: layer["weights"] for layer in layers if layer["weights"]}
    assert found == {name: told for name, (_, told) in ALEXNET_WEIGHTS.items()}
    for name, (product, told) in ALEXNET_WEIGHTS.items():
        assert product == told
        assert re.search(rf"^{name} .* {told:,} ", shown, re.M)
    assert re.search(r"^convolutions +2,332,704 +3\.8% .* 91\.9%", shown, re.M)
    assert re.search(r"^dense layers +58,621,952 +96\.2% .* 8\.1%", shown, re.M)
    assert "conv1_relu" not in shown, "layers without parameters are left out"


def test_the_papers_table_stands_beside_what_is_built():
    shown = run("info", "googlenet", "--paper")
    assert re.search(
        r"^inception \(3b\) +28×28×480 +380K +388,736 +304M +304,267,264$", shown, re.M
    )
    assert re.search(
        r"^convolution 7×7/2 \(1\) .* 2\.7K +≠ 9,472 +34M +≠ 118,013,952$", shown, re.M
    )
    assert "(1) 7·7·3·64 are 9,408" in shown
    shown = run("info", "lenet5_1998", "--paper", "--thousands")
    assert re.search(r"^C3 +10×10×16 +1,516 +1\.52 K +151,600 +≠ 150 K$", shown, re.M)
    assert re.search(r"^S2 .* 5,880 +≠ 0$", shown, re.M)
    lines = json.loads(run("info", "alexnet", "--paper", "--json"))["paper"]
    assert lines[0]["units"] == {"printed": {"text": "253,440", "kilo": 1000}, "ours": 290_400}
    assert "No table of its layers" in run("info", "nin", "--paper")
    assert json.loads(run("info", "nin", "--paper", "--json"))["paper"] == []


def test_the_papers_table_is_of_the_papers_network(trained):
    with pytest.raises(kerascnn.errors.ArgumentError, match=r"--paper .* Received: --set\.$"):
        run("info", "alexnet", "--paper", "--set", "groups=1")
    with pytest.raises(kerascnn.errors.ArgumentError, match="--paper"):
        run("info", trained, "--paper")


def test_counts_may_be_shown_in_thousands_and_millions():
    shown = run("info", "alexnet", "--weights", "--thousands")
    assert re.search(r"^conv1 +11×11×3×96 +34\.8 K ", shown, re.M)
    assert re.search(r"^fc6 +9216×4096 +37\.7 M ", shown, re.M)
    shown = run("info", "lenet5", "--thousands")
    assert re.search(r"^total +61\.7 K +417 K", shown, re.M)
    for count, text in ((999, "999"), (999.6, "1.00 K"), (61_706, "61.7 K"), (999_600, "1.00 M")):
        assert rounded(count) == text
    assert rounded(15_470_264_320) == "15.5 B"


def test_mistakes_are_explained():
    with pytest.raises(kerascnn.errors.UnknownNameError, match="Did you mean lenet5"):
        run("info", "lenet")
    with pytest.raises(kerascnn.errors.ArgumentError, match="Received: 'abc'"):
        run("info", "lenet5", "--input-shape", "abc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A real run, one epoch on a few images."""
    path = tmp_path_factory.mktemp("runs") / "run"
    train("lenet5", "mnist5k", arguments={"widths": (4, 6)}, epochs=1, batch_size=512, run=path)
    return path


def test_a_run_shows_its_model_and_figures(trained):
    shown = json.loads(run("info", trained, "--json"))
    assert shown["name"] == "lenet5"
    assert shown["params"] == kerascnn.get("lenet5").cost(widths=(4, 6)).params
    assert shown["run"]["metrics"]
    assert shown["run"]["arguments"]["widths"] == [4, 6]
    text = run("info", trained)
    assert "argument widths" in text
    assert "mnist5k (train 3,500, validation 500, test 1,000)" in text
    assert f"{shown['run']['metrics']['test_error']:.2%}" in text
    assert "4, 6" in text


def test_a_run_shows_the_pixels_that_it_expects_which_may_not_be_its_architectures(
    trained, tmp_path
):
    """Such as those of published weights that it was started from."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["preprocessing"] = {"scale": 1.0, "mean": [7.0], "std": [1.0], "order": "BGR"}
    (copy / "config.json").write_text(json.dumps(config))
    assert "pixel - 7.0, BGR" in run("info", copy)
    assert json.loads(run("info", copy, "--json"))["preprocessing"] == config["preprocessing"]


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(kerascnn.errors.RunError, match=r"config\.json"):
        run("info", tmp_path)


# --- compare ---------------------------------------------------------------------------------


def test_compare_lists_exact_figures():
    rows = json.loads(run("compare", "lenet5*", "resnet20_cifar", "lenet5", "--json"))
    assert [row["name"] for row in rows] == ["lenet5", "lenet5_1998", "resnet20_cifar"]
    assert [row["params"] for row in rows] == [61_706, 60_000, 269_722]
    assert rows[2]["macs"] == 40_551_040
    assert rows[2]["field"] == [81, 81]
    assert rows[0]["error"] is None


def test_compare_says_how_much_of_a_network_is_dense():
    rows = json.loads(run("compare", "vgg16", "alexnet", "nin", "--json"))
    assert [round(row["dense"]["params"], 3) for row in rows] == [0.894, 0.962, 0]
    assert round(rows[0]["convolutions"]["macs"], 3) == 0.992
    shown = run("compare", "vgg16", "alexnet", "nin")
    assert re.search(r"^vgg16 +2014 +138 M +89\.4% +15\.5 B ", shown, re.M)
    assert re.search(r"^alexnet +2012 +61\.0 M +96\.2% +724 M ", shown, re.M)
    assert re.search(r"^nin +\d+ +7\.60 M +1\.10 B ", shown, re.M)


def test_compare_measures_by_a_reference():
    rows = json.loads(run("compare", "googlenet", "--reference", "alexnet", "--json"))
    assert rows[0]["times_params"] == 6_998_552 / 60_965_224
    assert re.search(
        r"^googlenet .* 0\.11 .* 2\.18 ",
        run("compare", "googlenet", "--reference", "alexnet"),
        re.M,
    )
    with pytest.raises(kerascnn.errors.UnknownNameError, match="Did you mean alexnet"):
        run("compare", "googlenet", "--reference", "alexnett")


def test_compare_holds_the_papers_to_what_they_claim():
    shown = " ".join(run("compare", "googlenet", "nin", "--claims").split())
    assert "12 times fewer parameters than AlexNet" in shown
    assert "60,965,224 / 6,998,552 = 8.71" in shown
    assert "60.0 M / 6.80 M = 8.83" in shown
    assert "12 would need 5.1 M." in shown
    found = json.loads(run("compare", "googlenet", "nin", "--claims", "--json"))
    assert [(one["name"], one["agrees"]) for one in found["claims"]] == [
        ("googlenet", False),
        ("googlenet", True),
    ]
    assert [row["name"] for row in found["networks"]] == ["googlenet", "nin"]
    assert "None of these papers" in run("compare", "nin", "--claims")


def test_compare_takes_of_each_task_the_figure_that_its_papers_are_compared_by():
    """Of equals the task's main measure; it doesn't count that another task's is more frequent."""

    def card(*results):
        return Card(
            title="A net",
            authors="Nobody",
            year=2000,
            link="",
            input_shape=(8, 8, 3),
            classes=2,
            results=tuple(
                Result(dataset="VOC", protocol="test", metric=metric, value=value, source="")
                for metric, value in results
            ),
        )

    cards = [card(("a.c.a. %", 70.0), ("mean IoU %", 50.0)), card(("a.c.a./mean IoU %", (80, 60)))]
    shown = [(one.metric, one.percent) for one in comparable(cards, "Mean IoU")]
    assert shown == [("mean IoU", 50.0), ("mean IoU", 60)]
    assert [one.metric for one in comparable(cards)] == ["a.c.a."] * 2, "the alphabet's first"
    twice = [*cards, card(("a.c.a. %", 1.0))]
    assert [one.metric for one in comparable(twice, "Mean IoU")] == ["a.c.a."] * 3


def test_compare_sets_networks_of_several_tasks_side_by_side(monkeypatch, tmp_path):
    lenet = kerascnn.get("lenet5")
    result = Result(
        dataset="VOC 2012 test", protocol="1 scale", metric="mean IoU %", value=62.7, source="here"
    )
    card = replace(lenet.card, results=(result,))
    outlines = kerascnn.register(replace(lenet, name="outlines", task="outlining", card=card))
    monkeypatch.setattr(
        registry, "_added", {registry.ARCHITECTURES: {"outlines": outlines}, registry.TASKS: {}}
    )
    rows = json.loads(run("compare", "outlines", "alexnet", "--json"))
    assert [row["task"] for row in rows] == ["outlining", "classification"]
    assert [row["published"]["metric"] for row in rows] == ["mean IoU", "top-1 error"]
    assert rows[0]["error"] is None
    assert rows[1]["error"] == rows[1]["published"]
    shown = run("compare", "outlines", "alexnet")
    assert "published: mean IoU, VOC 2012 test; published: top-1 error" in " ".join(shown.split())
    assert all(word in shown for word in ("outlining", "62.70%", "1 scale"))
    with pytest.raises(kerascnn.errors.ArgumentError, match="networks of one task"):
        run("compare", "outlines", "alexnet", "--save", tmp_path / "both.png")
    run("compare", "outlines", "--save", tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_compare_draws_a_picture(tmp_path):
    from PIL import Image

    path = tmp_path / "compare.png"
    names = ("alexnet", "googlenet", "vgg16", "resnet50")
    shown = run("compare", *names, "--save", path)
    assert all(name in shown for name in names)
    picture = Image.open(path).convert("RGB")
    assert picture.size == (1200, 780)
    colours = picture.getcolors(1 << 20)
    blue = sum(count for count, (r, g, b) in colours if b > 180 and r < 160)
    assert blue > 3000, "the circles are there"
    with pytest.raises(kerascnn.errors.ArgumentError, match="none of these"):
        run("compare", "lenet5", "--save", path)
    for wrong, message in (("picture.doc", "'doc' is not supported"), ("no/x.png", "No such file")):
        with pytest.raises(kerascnn.errors.ArgumentError, match=message):
            run("compare", "alexnet", "--save", tmp_path / wrong)


def test_the_picture_says_under_which_protocols_the_errors_were_measured():
    rows, _ = _rows(["alexnet", "googlenet", "vgg16"])
    assert _protocols(rows).endswith(
        "under different protocols: the more crops, the fewer errors. "
        "10 crops: alexnet; 1 crop: googlenet, vgg16."
    )
    assert _protocols(rows[1:]) == "Errors as published: 1 crop."


def card(*results):
    return Card(
        title="",
        authors="",
        year=2000,
        link="",
        input_shape=(8, 8, 3),
        classes=2,
        params=None,
        macs=None,
        smallest_input=(1, 1),
        results=tuple(
            Result(dataset=d, protocol=p, metric=m, value=v, source="") for d, p, m, v in results
        ),
    )


def test_only_like_is_compared_with_like():
    both = "top-1/top-5 error %"
    chosen = comparable(
        [
            card(("A", "10 crops", both, (30.0, 10.0)), ("A", "centre crop", both, (32.0, 11.0))),
            card(
                ("A", "7 networks, 10 crops", "top-5 error %", 6.0), ("A", "1 crop", both, (28, 9))
            ),
            card(("A", "10 crops", "top-1 error %", 27.0), ("B", "1 crop", "error %", 5.0)),
            card(("B", "1 crop", "error %", 4.0), ("A", "1 crop", "accuracy %", 70.0)),
        ]
    )
    # Three have a top-1 error on A; 1 and 10 crops are equally frequent, so one crop is taken.
    assert [error and error.percent for error in chosen] == [32.0, 28, 27.0, None]
    assert [error and error.crops for error in chosen] == ["1 crop", "1 crop", "10 crops", None]
    assert comparable([card(), card()]) == [None, None]
