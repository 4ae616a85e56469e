"""`kerascnn explain` on photos: pictures, numbers, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn import feature_extractor
from kerascnn.cli import app
from kerascnn.commands import trained
from kerascnn.data import load
from kerascnn.errors import ArgumentError, DataError, RunError, WeightsError
from kerascnn.preprocessing import preprocess
from kerascnn.weights import imagenet

TINY = ("--set", "widths=4,8", "--set", "hidden=16", "--classes", "3")


def call(*arguments, stdin=b""):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, ["explain", *given], input=stdin, env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def some(photos, tmp_path_factory):
    """Two photos of one name, in two folders."""
    root = tmp_path_factory.mktemp("some")
    for kind in ("across", "down"):
        (root / kind).mkdir()
        shutil.copy(photos / kind / "003.png", root / kind)
    return root


def test_each_photo_gets_a_picture_though_two_have_one_name(striped_run, some, tmp_path):
    ended = call(striped_run.path, some, "--save", tmp_path / "found", "--maps", 1, "--top", 2)
    assert ended.exit_code == 0, ended.exception
    assert ended.stdout.count("%") == 4
    for name in ("003.png", "003-2.png"):
        assert f"  {tmp_path / 'found' / name}" in ended.stdout.splitlines()
        with Image.open(tmp_path / "found" / name) as picture:
            assert min(picture.size) > 400


def test_pictures_of_a_run_are_put_into_it(striped_run, some, tmp_path):
    shutil.copytree(striped_run.path, tmp_path / "run")
    ended = call(tmp_path / "run", some / "down" / "003.png", "--maps", 0)
    assert ended.exit_code == 0, ended.exception
    assert [file.name for file in (tmp_path / "run" / "explain").iterdir()] == ["003.png"]


def test_no_picture_is_put_where_a_strangers_run_points(striped_run, some, tmp_path):
    shutil.copytree(striped_run.path, tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "explain").symlink_to(tmp_path / "elsewhere")
    ended = call(tmp_path / "run", some / "down" / "003.png")
    with pytest.raises(ArgumentError, match=r"with --save\. Received: a link"):
        raise ended.exception
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.filterwarnings("error::UserWarning")
def test_any_name_of_a_file_is_one_line_and_no_warning(striped_run, some, tmp_path):
    photo = tmp_path / "two\nlines 猫.png"
    shutil.copy(some / "down" / "003.png", photo)
    ended = call(striped_run.path, photo, "--save", tmp_path / "found", "--maps", 0)
    assert ended.exit_code == 0, ended.exception
    assert f"  {tmp_path}/found/two\\nlines 猫.png" in ended.stdout.splitlines()
    assert (tmp_path / "found" / photo.name).exists()


def test_numbers_are_one_json_list_and_nothing_is_drawn(striped_run, some, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = call(striped_run.path, some, "--json", "--class", "plain", "--top", 2)
    assert ended.exit_code == 0, ended.exception
    found = json.loads(ended.stdout)
    assert [one["image"] for one in found] == [
        str(some / "across" / "003.png"),
        str(some / "down" / "003.png"),
    ]
    for one, kind in zip(found, ("across", "down")):
        assert one["explained"]["name"] == one["classes"][1]["name"] == "plain"
        assert one["classes"][0]["name"] == kind
        assert list(one["layers"]) == ["C1", "C2"]
        for method in one["methods"].values():
            assert 0 <= method["strongest"]["row"] < 32
    assert list(tmp_path.iterdir()) == []


def test_a_class_may_be_called_by_its_number_and_an_unknown_one_lists_the_names(striped_run, some):
    options = some, "--json", "--maps", 0, "--method", "saliency"
    found = json.loads(call(striped_run.path, *options, "--class", 1).stdout)
    assert {one["explained"]["name"] for one in found} == {"down"}
    ended = call(striped_run.path, *options, "--class", "dawn")
    assert isinstance(ended.exception, ArgumentError)
    assert str(ended.exception) == (
        "--class must be one of across, down, plain, or its number from 0 to 2. Received: 'dawn'. "
        "Did you mean down?"
    )


def test_what_a_method_is_not_defined_for_is_refused_if_it_was_asked_for(striped_run, some):
    """LeNet's tanh is no ReLU: without being asked, saliency stands in."""
    one = striped_run.path, some / "down" / "003.png", "--json", "--maps", 1
    found = json.loads(call(*one).stdout)[0]
    assert "saliency" in found["methods"]
    assert "guided_backprop" not in found["methods"]
    assert found["projection"] == "saliency"
    ended = call(*one, "--method", "guided_backprop")
    assert isinstance(ended.exception, ArgumentError)
    assert "tanh" in str(ended.exception)


def test_a_damaged_file_is_named_and_the_others_are_done(striped_run, some, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    good = some / "down" / "003.png"
    ended = call(striped_run.path, bad, "-", "--maps", 0, "--json", stdin=f"{good}\n".encode())
    assert isinstance(ended.exception, DataError)
    assert ended.exception.exit_status == 1
    assert str(ended.exception) == f"1 of 2 images could not be read: {bad}."
    assert [one["image"] for one in json.loads(ended.stdout)] == [str(good)]


def test_an_architecture_is_explained_with_weights_and_refused_without(striped_run, some, tmp_path):
    model = striped_run.path / "model.keras"
    photo = some / "down" / "003.png"
    file = tmp_path / "found.svg"
    ended = call("lenet5", photo, *TINY, "--weights", model, "--save", file, "--maps", 1)
    assert ended.exit_code == 0, ended.exception
    assert file.read_text().startswith("<?xml")
    ended = call("lenet5", photo)
    assert isinstance(ended.exception, ArgumentError)
    assert "untrained network explains nothing" in str(ended.exception)
    ended = call(striped_run.path, photo, "--weights", model)
    assert "is a run, whose model is complete" in str(ended.exception)


def test_classes_of_imagenet_are_called_by_their_names_if_these_can_be_had(monkeypatch, capsys):
    known = tuple((f"n{number}", f"great_{number}") for number in range(1000))
    monkeypatch.setattr(imagenet, "class_names", lambda: known)
    assert trained._class_names(1000)[3] == "great 3"
    assert trained._class_names(10)[3] == "3"

    def offline():
        raise WeightsError("They can't be fetched.")

    monkeypatch.setattr(imagenet, "class_names", offline)
    assert trained._class_names(1000)[3] == "3"
    assert capsys.readouterr().err == (
        "Classes are called by their numbers: They can't be fetched.\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Pass either photos, as in `kerascnn explain RUN photo.jpg`, or --data"),
        (["a.png", "--save", "a.jpg"], ".png, .svg or .pdf. Received: a.jpg."),
        (["a.png", "--save", "plain"], ".png, .svg or .pdf. Received: plain."),
        (["a.png", "--save", "nowhere/a.png"], "must be in a folder that exists"),
        (["a.png", "b.png", "--save", "a.png"], "is one file, and there are several images"),
        (["a.png", "--method", "saliensy"], "Received: 'saliensy'. Did you mean saliency?"),
        (["a.png", "--layer", "C7"], "has no layer 'C7'"),
        (
            ["a.png", "--split", "test"],
            "--split is for --data, --evolution only. Received: photos.",
        ),
    ],
)
def test_mistakes_are_answered_by_one_message(
    striped_run, some, options, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(some / "down" / "003.png", "a.png")
    (tmp_path / "plain").touch()
    ended = call(striped_run.path, *options)
    assert isinstance(ended.exception, ArgumentError)
    assert said in str(ended.exception)


def test_no_run_is_no_subject():
    ended = call("./nowhere", "a.png")
    assert isinstance(ended.exception, RunError)
    assert str(ended.exception) == "There is no run directory ./nowhere."


# --- Sheets --------------------------------------------------------------------------------------


def test_a_sheet_for_each_layer_is_put_into_the_run(striped_run, photos, tmp_path):
    shutil.copytree(striped_run.path, tmp_path / "run")
    sheets = tmp_path / "run" / "explain"
    again = tmp_path / "run", "--data", f"folder:{photos}", "--maps", 2, "--top", 4
    ended = call(*again, "--layer", "C1,pool2")
    assert ended.exit_code == 0, ended.exception
    assert f"C1 on 180 images of folder:{photos}: {sheets / 'layer-C1.png'}" in ended.stdout
    assert sorted(path.name for path in sheets.glob("*.png")) == ["layer-C1.png", "layer-pool2.png"]
    state = set(sheets.glob(".*.npz"))
    assert len(state) == 2
    ended = call(*again, "--layer", "C1", "--channels", "7")
    assert ended.exit_code == 0, ended.exception
    assert set(sheets.glob(".*.npz")) == state  # which is gone on from


def test_numbers_of_a_sheet_name_the_images_that_excite_a_map_most(striped_run, photos):
    options = "--layer", "C1", "--top", 2, "--channels", "3,0", "--json"
    ended = call(striped_run.path, "--data", f"folder:{photos}", *options)
    assert ended.exit_code == 0, ended.exception
    (found,) = json.loads(ended.stdout)
    assert (found["layer"], found["images"], found["split"]) == ("C1", 180, "all")
    images = load(f"folder:{photos}", split="all", echo=None).test
    pixels = np.stack([images.example(number)[0] for number in range(180)])
    network = feature_extractor(striped_run.model(), "C1")
    maps = network.predict(preprocess(pixels, striped_run.config.preprocessing), verbose=0)
    peaks = maps.max(axis=(1, 2))
    assert [one["map"] for one in found["maps"]] == [3, 0]
    for one in found["maps"]:
        best = np.sort(peaks[:, one["map"]])[::-1][:2]
        np.testing.assert_allclose([s["value"] for s in one["strongest"]], best, rtol=1e-4)
        for strongest in one["strongest"]:
            assert (photos / strongest["name"]).is_file()
            assert images.names[strongest["image"]].decode() == strongest["name"]
            place = maps[strongest["image"], strongest["row"], strongest["column"], one["map"]]
            assert place == pytest.approx(strongest["value"], rel=1e-4)


def test_an_architecture_with_the_weights_of_a_run_looks_for_the_same(striped_run, photos):
    options = "--data", f"folder:{photos}", "--layer", "C1", "--top", 2, "--json"
    model = "lenet5", *TINY, "--weights", striped_run.path / "model.keras"
    ended = call(*model, *options)
    assert ended.exit_code == 0, ended.exception
    assert json.loads(ended.stdout) == json.loads(call(striped_run.path, *options).stdout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["a.png"], "Pass either photos, .* or --data, .* Received: both"),
        (["--class", "down"], "--class is for photos only. Received: --data."),
        (["--split", "none"], "--split must be one of train, validation, test, all"),
        (["--method", "grad_cam"], "projected by one of deconvnet, guided_backprop, saliency"),
        (["--channels", "3-5"], "must be numbers of maps, such as 3,17,200. Received: '3-5'"),
        (["--layer", "C1,C2", "--save", "a.png"], "is one file, and there are several layers"),
        (["--layer", "C1", "--channels", "99"], "from 0 to 7"),
    ],
)
def test_mistakes_about_data_are_answered_by_one_message(
    striped_run, photos, options, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ended = call(striped_run.path, *options, "--data", f"folder:{photos}")
    assert isinstance(ended.exception, ArgumentError)
    assert re.search(said, str(ended.exception))


# --- Over the epochs of a run --------------------------------------------------------------------


def test_how_maps_came_about_is_drawn_into_the_run(striped_run, photos, tmp_path):
    shutil.copytree(striped_run.path, tmp_path / "run")
    (tmp_path / "run" / "model.keras").unlink()  # a training that goes on has none yet
    ended = call(tmp_path / "run", "--evolution", "--layer", "C1", "--maps", 2)
    assert ended.exit_code == 0, ended.exception
    picture = tmp_path / "run" / "explain" / "evolution-C1.png"
    assert ended.stdout == f"C1 after epochs 1, 4: {picture}\n"
    with Image.open(picture) as found:
        assert min(found.size) > 200


def test_numbers_over_the_epochs_are_those_of_the_kept_models(striped_run, photos):
    options = "--layer", "C1", "--channels", "3,0", "--json"
    ended = call(striped_run.path, "--evolution", "--data", f"folder:{photos}", *options)
    assert ended.exit_code == 0, ended.exception
    (found,) = json.loads(ended.stdout)
    assert (found["layer"], found["images"]) == ("C1", 180)
    assert [one["map"] for one in found["maps"]] == [3, 0]
    images = load(f"folder:{photos}", split="all", echo=None).test
    pixels = np.stack([images.example(number)[0] for number in range(180)])
    inputs = preprocess(pixels, striped_run.config.preprocessing)
    for row, epoch in enumerate((1, 4)):
        network = feature_extractor(striped_run.model(epoch=epoch), "C1")
        maps = network.predict(inputs, verbose=0)
        for one in found["maps"]:
            strongest = one["strongest"][row]
            assert strongest["epoch"] == epoch
            best = maps[..., one["map"]].max()
            assert strongest["value"] == pytest.approx(best, rel=1e-4)
            place = strongest["image"], strongest["row"], strongest["column"], one["map"]
            assert maps[place] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["a.png"], "is about the images of a source. Received: photos: a.png"),
        (["--top", "3"], "--top is for photos, --data only. Received: --evolution."),
        (["--split", "test"], "--split is of --data"),
        (["--method", "grad_cam"], "Maps are projected by one of deconvnet"),
        (["--layer", "C1,C2", "--save", "a.png"], "is one file, and there are several layers"),
    ],
)
def test_mistakes_about_epochs_are_answered_by_one_message(striped_run, options, said):
    ended = call(striped_run.path, "--evolution", *options)
    assert isinstance(ended.exception, ArgumentError)
    assert said in str(ended.exception)


def test_what_has_kept_no_epochs_is_refused(striped_run, tmp_path):
    shutil.copytree(striped_run.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "epochs")
    ended = call(tmp_path / "run", "--evolution")
    assert isinstance(ended.exception, RunError)
    assert "has kept no epochs. Train with `--keep-epochs" in str(ended.exception)
    ended = call("lenet5", "--evolution", *TINY, "--weights", striped_run.path / "model.keras")
    assert "Received: the architecture lenet5." in str(ended.exception)


def test_photos_that_are_changed_are_one_picture_and_one_object(striped_run, some, tmp_path):
    """A stripe across, moved by 9 of 32 rows, is another picture; the network's numbers say so."""
    options = "--invariance", "--layer", "C1,fc1", "--save", tmp_path / "moved.png"
    ended = call(striped_run.path, some, *options)
    assert ended.exit_code == 0, ended.exception
    assert ended.stdout == f"2 photos: {tmp_path / 'moved.png'}\n"
    with Image.open(tmp_path / "moved.png") as picture:
        assert min(picture.size) > 400
    (found,) = json.loads(call(striped_run.path, some, "--invariance", "--json").stdout)
    assert found["classes"] == ["across", "down"]
    assert list(found["translation"]["distances"]) == ["C1", "C2"]
    still = found["translation"]["steps"].index(0)
    assert found["translation"]["distances"]["C1"][still] == [0, 0]
    turned = found["rotation"]["steps"].index(90)
    assert max(found["rotation"]["probabilities"][turned]) < 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class", "down"), "--class is for photos only. Received: --invariance."),
        (
            ("--method", "saliency", "--top", 2),
            "--method is for photos, --data, --evolution only",
        ),
        (("--layer", "C9"), "no layer 'C9'"),
    ],
)
def test_what_changed_photos_do_not_have_is_refused(striped_run, some, words, message):
    ended = call(striped_run.path, some, "--invariance", *words)
    assert isinstance(ended.exception, ArgumentError)
    assert message in str(ended.exception)
    ended = call(striped_run.path, "--data", "mnist5k", "--invariance")
    assert str(ended.exception) == "--invariance is about photos. Received: none."
