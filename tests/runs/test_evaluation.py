"""A run is evaluated on the right images, with the right names, and on nothing else unsaid."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import kerascnn
from kerascnn.data import load
from kerascnn.errors import ArgumentError, DataError, RunError, UnknownNameError
from kerascnn.recipes.recipe import Protocol
from kerascnn.runs import sides
from kerascnn.training import trainer

CLASSES = ["across", "down", "plain"]


def evaluated(run, *arguments, **options):
    """What was found, and what was said."""
    said = []
    return run.evaluate(*arguments, echo=said.append, **options), said


@pytest.fixture
def others(tmp_path, draw):
    """Images of the same classes that the run has never seen."""
    for kind in CLASSES:
        draw(tmp_path / "others", kind, range(500, 510))
    return tmp_path / "others"


@pytest.fixture
def moved(striped_run, photos, tmp_path):
    """The run and the images, copied, so that a test can change them."""
    shutil.copytree(striped_run.path, tmp_path / "run")
    shutil.copytree(photos, tmp_path / "photos")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["source"] = f"folder:{tmp_path / 'photos'}"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    return kerascnn.Run.open(tmp_path / "run"), tmp_path / "photos"


def table(path, rows, header="path,label"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return f"csv:{path}"


def test_in_another_precision_the_answers_are_compared_with_float32s(striped_run, others):
    source = f"folder:{others}"
    exact, _ = evaluated(striped_run, source)
    found, _ = evaluated(striped_run, source, precision="mixed_bfloat16")
    assert found["precision"] == "mixed_bfloat16"
    assert found["in_float32"] == {"loss": exact["loss"], "error": exact["error"]}
    assert found["loss"] != exact["loss"], "it was computed otherwise"
    assert found["agreement"] == 1.0
    assert "agreement" not in exact
    with pytest.raises(ArgumentError, match="Received: 'half'"):
        striped_run.evaluate(source, precision="half")
    with pytest.raises(ArgumentError, match="Received: 'half'"):
        striped_run.model(precision="half")


def test_agreement_counts_the_images_with_the_same_likeliest_class(striped_run, others):
    """Against a network whose classes are turned round, as many agree as are its middle one."""
    model, config = striped_run.model(), striped_run.config
    turned = keras.Model(model.inputs, keras.ops.flip(model.outputs[0], axis=-1))
    images = load(f"folder:{others}", input_shape=config.input_shape, echo=None)
    split = images.all if hasattr(images, "all") else images.train
    predicted = striped_run.predict(np.concatenate([x for x, _ in split.batches(64)])).argmax(-1)
    same = striped_run.task.agreement(model, turned, config, split)
    assert same == pytest.approx(float((predicted == 1).mean()))
    assert 0 < same < 1


def test_predictions_in_bfloat16_are_near(striped_run):
    images = next(iter(load(striped_run.config.data.source, echo=None).train.batches(8)))[0]
    exact = striped_run.predict(images)
    near = striped_run.predict(images, precision="mixed_bfloat16", echo=None)
    assert 0 < np.abs(near - exact).max() < 0.05


def test_another_order_of_the_classes_changes_nothing(striped_run, others, tmp_path):
    """An archive's classes have the order that its maker gave them."""
    expected, _ = evaluated(striped_run, f"folder:{others}")
    assert expected["error"] == 0
    files = sorted(others.rglob("*.png"))
    order = ["plain", "across", "down"]
    labels = np.array([order.index(file.parent.name) for file in files])
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    np.savez(tmp_path / "o.npz", images=images, labels=labels, class_names=order)
    found, said = evaluated(striped_run, f"npz:{tmp_path / 'o.npz'}")
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["classes"] == expected["classes"]
    assert [one["name"] for one in found["classes"]] == CLASSES
    assert found["confusion"] == np.diag([10, 10, 10]).tolist()
    assert found["trained_on"] == 0
    assert not any("trained on" in line for line in said)
    data = load(f"npz:{tmp_path / 'o.npz'}", input_shape=(32, 32, 1), split="all", echo=None)
    assert striped_run.evaluate(data, echo=None)["error"] == 0, "a Dataset, too"
    scaled = striped_run.evaluate(data, echo=None, protocol=Protocol(resize=(1.0,)))
    assert scaled["confusion"] == found["confusion"], "under a protocol, too"


def test_a_subset_of_the_classes_is_said(striped_run, others):
    shutil.rmtree(others / "across")
    found, said = evaluated(striped_run, f"folder:{others}")
    assert (found["images"], found["error"]) == (20, 0)
    assert said[-1] == ("No image of 1 class of the run's 3, whose recall is not defined: across.")
    nothing = dict.fromkeys(["precision", "recall", "f1"])
    assert found["classes"][0] == {"name": "across", "support": 0, "predicted": 0, **nothing}


def test_a_renamed_class_is_refused(striped_run, others):
    (others / "down").rename(others / "Down")
    with pytest.raises(DataError, match=r"1 class .* doesn't know: 'Down'.*Is 'Down' 'down'\?"):
        striped_run.evaluate(f"folder:{others}", echo=None)


def test_resuming_with_other_classes_is_refused(moved, others):
    """Also with the same images: training on would go on with other labels."""
    run, root = moved
    (run.path / "metrics.json").unlink()
    (root / "down").rename(root / "up")
    data = load(f"folder:{root}", input_shape=(32, 32, 1), echo=None)
    changed = r"has changed since .* classes are 'across', 'plain', 'up'; they were 'across', 'd"
    with pytest.raises(RunError, match=changed):
        trainer.resume(run.path, data=data, console=Console(quiet=True))


def test_other_data_without_a_split_is_tested_whole(striped_run, others, tmp_path, draw):
    found, _ = evaluated(striped_run, f"folder:{others}")
    assert (found["split"], found["images"], found["trained_on"]) == ("all", 30, 0)
    for split, numbers in (("train", range(600, 607)), ("test", range(700, 703))):
        for kind in CLASSES:
            draw(tmp_path / "own" / split, kind, numbers)
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'own'}")
    assert (found["split"], found["images"]) == ("test", 9)
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'own'}", split="all")
    assert (found["split"], found["images"]) == ("all", 30)
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'own'}", split="train")
    assert (found["split"], found["images"]) == ("train", 21)
    shutil.rmtree(tmp_path / "own" / "train")
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'own'}")
    assert (found["split"], found["images"]) == ("test", 9)
    with pytest.raises(DataError, match="there is no training image"):
        striped_run.evaluate(f"folder:{tmp_path / 'own'}", split="train", echo=None)
    with pytest.raises(ArgumentError, match=r"one of train, .*Received: 'dev'"):
        striped_run.evaluate(split="dev", echo=None)


def test_each_part_of_the_runs_own_data(striped_run):
    sizes = striped_run.config.data.sizes
    for split in ("train", "validation", "test"):
        found, said = evaluated(striped_run, split=split)
        assert found["images"] == sizes[split]
        assert found["trained_on"] == (sizes["train"] if split == "train" else 0)
        assert bool(said) == (split == "train")
    found, said = evaluated(striped_run, split="all")
    assert (found["images"], found["trained_on"]) == (180, sizes["train"])
    assert said[0].startswith(f"{sizes['train']} of the 180 images are among those")
    found, _ = evaluated(striped_run)
    assert (found["split"], found["images"]) == ("test", sizes["test"])


def test_the_runs_own_data_are_known_by_another_spelling(striped_run, photos):
    found, said = evaluated(striped_run, f"folder:{photos}/../{photos.name}/")
    assert (found["split"], found["trained_on"], said) == ("test", 0, [])


def test_the_runs_own_folder_is_known_where_it_was_moved_to(striped_run, photos, tmp_path):
    """By the names and sizes of its images: what was for the test is evaluated, not all of it."""
    shutil.copytree(photos, tmp_path / "moved")
    before = striped_run.evaluate(echo=None)
    found, said = evaluated(striped_run, f"folder:{tmp_path / 'moved'}")
    assert {**found, "data": before["data"]} == before
    assert said == [
        f"folder:{tmp_path / 'moved'} has the images of folder:{photos}, which the run was "
        "trained on."
    ]
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'moved'}", split="train")
    sizes = striped_run.config.data.sizes
    assert (found["images"], found["trained_on"]) == (sizes["train"], sizes["train"])


def test_data_that_no_source_names_must_be_given_again(moved):
    run, root = moved
    data = load(f"folder:{root}", input_shape=(32, 32, 1), echo=None)
    replace(run.config, data=replace(run.config.data, source="mine")).write(run.path)
    run = kerascnn.Run.open(run.path)
    with pytest.raises(UnknownNameError, match=r"trained on 'mine'.*pass it to Run\.evaluate"):
        run.evaluate(echo=None)
    found, _ = evaluated(run, data)
    assert (found["split"], found["images"], found["trained_on"]) == ("test", data.test.size, 0)


def test_a_folder_that_has_changed_is_evaluated_on_what_it_had_for_the_test(moved, draw):
    """Nothing that was trained on, and nothing new."""
    run, root = moved
    was = load(run.config.data.source, input_shape=(32, 32, 1), echo=None)
    test, train = ([name.decode() for name in part.names] for part in (was.test, was.train))
    before = run.evaluate(echo=None)["images"]
    (root / test[0]).unlink()
    (root / train[0]).unlink()
    (root / train[1]).unlink()
    Image.fromarray(np.zeros((90, 70), "uint8")).save(root / test[1])
    for kind in CLASSES:
        draw(root, kind, range(1000, 1040))
    draw(root, "other", range(3))
    found, said = evaluated(run)
    assert (found["split"], found["images"], found["trained_on"]) == ("test", before - 1, 0)
    assert said == [
        f"folder:{root} has changed since the run was trained: 3 images are gone (1 for test); "
        "1 file has another size (1 for test); 123 images are new; a file that was "
        f"moved or renamed counts as both. Evaluated are the {before - 1} images that were for "
        "test then and are still there; new ones are not."
    ]


def test_a_folder_whose_old_test_images_are_gone_is_refused(moved, draw):
    run, root = moved
    shutil.rmtree(root)
    for kind in CLASSES:
        draw(root, kind, range(3000, 3010))
    with pytest.raises(DataError, match=r"no image any more of those that .* had for test"):
        run.evaluate(echo=None)
    found, _ = evaluated(run, split="all")
    assert (found["images"], found["trained_on"]) == (30, 0)


def test_a_split_that_was_made_another_way_is_known(moved):
    """Sides that were swapped in a folder's own splits, or a Dataset with other shares."""
    run, _ = moved
    was = run.config.data
    data = load(was.source, input_shape=(32, 32, 1), seed=9, test=0.4, echo=None)
    sides.write(run.path, data)
    replace(run.config, data=replace(was, fingerprint="0" * 64)).write(run.path)
    found, said = evaluated(kerascnn.Run.open(run.path))
    assert (found["images"], found["trained_on"]) == (data.test.size, 0)
    assert "its classes or splits are others" in said[0]


def test_a_run_that_kept_nothing_says_so(moved, others, draw):
    run, root = moved
    (run.path / sides.FILE).unlink()
    found, said = evaluated(run)
    assert (found["trained_on"], said) == (0, []), "the data are as they were"
    unknown = f"not known: {run.path} has no images.npy"
    found, said = evaluated(run, f"folder:{others}")
    assert found["trained_on"] is None
    assert unknown in said[-1]
    draw(root, "plain", range(1000, 1010))
    found, said = evaluated(run)
    assert found["trained_on"] is None
    assert "has changed since" in said[0]
    assert unknown in said[1]


def test_images_that_were_trained_on_are_counted_wherever_they_come_from(
    striped_run, photos, others, tmp_path
):
    """The same files by a table with paths of its own; a copy; a part of it beside new images."""
    train = striped_run.config.data.sizes["train"]
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    found, said = evaluated(striped_run, table(tmp_path / "t.csv", rows))
    assert (found["images"], found["trained_on"]) == (180, train)
    assert any(f"{train} of the 180 images are among" in line for line in said)
    shutil.copytree(photos, tmp_path / "copy")
    Image.fromarray(np.zeros((32, 32), "uint8")).save(tmp_path / "copy" / "down" / "new.png")
    found, _ = evaluated(striped_run, f"folder:{tmp_path / 'copy'}")
    assert (found["images"], found["trained_on"]) == (181, train)
    was = load(f"folder:{photos}", input_shape=(32, 32, 1), echo=None)
    mine = [name.decode() for name in was.train.names][:7]
    for name in mine:
        shutil.copy(photos / name, others / name)
    found, _ = evaluated(striped_run, f"folder:{others}")
    assert (found["images"], found["trained_on"]) == (37, 7)


def test_images_in_archives_are_known_by_their_pixels(tmp_path):
    """Whatever their places in it, and whatever is added."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 32, 32)).astype("uint8")
    labels = np.arange(60) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    run = kerascnn.train(
        "lenet5",
        f"npz:{tmp_path / 'a.npz'}",
        arguments={"widths": (2, 2), "hidden": (4,)},
        epochs=1,
        batch_size=16,
        run=tmp_path / "run",
        record=False,
        console=Console(quiet=True),
    )
    sizes = run.config.data.sizes
    before, _ = evaluated(run)
    new = rng.integers(0, 256, (40, 32, 32)).astype("uint8")
    order = rng.permutation(100)
    more = np.concatenate([images, new])[order], np.concatenate([labels, np.arange(40) % 2])[order]
    np.savez(tmp_path / "b.npz", images=more[0], labels=more[1])
    found, _ = evaluated(run, f"npz:{tmp_path / 'b.npz'}")
    assert (found["images"], found["trained_on"]) == (100, sizes["train"])
    (tmp_path / "b.npz").replace(tmp_path / "a.npz")
    found, said = evaluated(run)
    assert found["images"] == sizes["test"]
    assert "40 images are new" in said[0]
    assert found["loss"] == pytest.approx(before["loss"], rel=1e-5)


def test_the_plain_cross_entropy_is_without_label_smoothing(striped_run, others):
    """Both by hand, from the probabilities."""
    found, _ = evaluated(striped_run, f"folder:{others}")
    files = sorted(others.rglob("*.png"))
    images = np.stack([np.asarray(Image.open(file))[..., None] for file in files])
    labels = np.array([CLASSES.index(file.parent.name) for file in files])
    logs = np.log(striped_run.predict(images).astype("float64"))
    right = logs[np.arange(30), labels]
    assert found["cross_entropy"] == pytest.approx(-right.mean(), rel=1e-4)
    smoothed = 0.9 * right + 0.1 * logs.mean(1)
    assert found["loss"] == pytest.approx(-smoothed.mean(), rel=1e-4)
    assert found["loss"] > found["cross_entropy"]
    assert "top5_error" not in found
    assert evaluated(striped_run, f"folder:{others}", top=2)[0]["top2_error"] == 0
    for top in (0, 3):
        with pytest.raises(ArgumentError, match=f"less than the run's 3 classes. Received: {top}"):
            striped_run.evaluate(top=top, echo=None)


def test_a_model_that_answers_no_numbers_is_not_evaluated(moved):
    """Its first class would count as right for every image."""
    run, _ = moved
    model = run.model()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    keras.saving.save_model(model, run.path / "model.keras")
    with pytest.raises(RunError, match="scores that are not numbers"):
        run.evaluate(echo=None)


def test_images_that_are_elsewhere_are_told_where_to_look_for(moved):
    run, photos = moved
    photos.rename(photos.with_name("gone"))
    with pytest.raises(DataError, match=r"no folder .*photos.*was trained on .*with --data"):
        run.evaluate(echo=None)


def test_moved_files_are_not_taken_for_unseen_ones_in_silence(moved):
    run, photos = moved
    for file in list((photos / "down").iterdir()):
        file.rename(file.with_name(f"new-{file.name}"))
    _, said = evaluated(run, split="all")
    assert "a file that was moved or renamed counts as both" in said[0]
