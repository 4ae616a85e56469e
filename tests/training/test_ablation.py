"""What a network can do without is what it declares, and an ablation is real runs."""

import csv
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import kerascnn
from kerascnn.console import Console
from kerascnn.errors import ArgumentError, RunError
from kerascnn.recipes.recipe import CHANGES, OFF, Augmentation, Recipe
from kerascnn.tables import text
from kerascnn.tasks.measure import Measure
from kerascnn.training import ablation

TINY = kerascnn.get("lenet5").network({"widths": (2, 2), "hidden": (8,)})
ONE_EPOCH = Recipe(
    optimizer="adam",
    epochs=1,
    batch_size=512,
    label_smoothing=0.1,
    augmentation=Augmentation(shift=0.1),
)


def labels(name, recipe=None, **arguments):
    network = kerascnn.get(name).network(arguments)
    return [part.label for part in ablation.parts(network, recipe or Recipe())]


def test_what_can_be_left_out_follows_from_the_space():
    assert labels("alexnet") == ["overlapping_pooling", "dropout", "towers", "lrn"]
    assert labels("alexnet", norm="batch", pool_size=2, dropout=0.0) == ["towers", "batch"]
    assert labels("lenet5") == []
    assert labels("resnet18") == ["shortcuts", "stem_pool"]
    assert labels("plain18") == ["stem_pool"]
    assert labels("densenet121") == ["bottleneck", "compression", "stem_pool"]
    assert labels("googlenet") == ["reduce", "lrn", "dropout"]
    both = ["reduce", "lrn", "dropout", "auxiliary", "auxiliary_dropout"]
    assert labels("googlenet", auxiliary=True) == both, "dropout in them only where they are"


def test_what_can_be_left_out_follows_from_the_recipe():
    recipe = Recipe(
        optimizer="sgd",
        nesterov=True,
        weight_decay=1e-4,
        augmentation=Augmentation(shift=0.1, flip=True, border="mirror"),
    )
    parts = {part.name: part for part in ablation.parts(TINY, recipe)}
    shift, flip = "augmentation.shift", "augmentation.flip"
    assert list(parts) == ["momentum", "nesterov", "weight_decay", "augmentation", shift, flip]
    assert parts["momentum"].recipe == {"momentum": 0.0, "nesterov": False}
    assert parts["augmentation"].recipe == {"augmentation": Augmentation()}
    left = parts[flip].recipe["augmentation"]
    assert left == Augmentation(shift=0.1, border="mirror")
    assert "momentum" not in labels("lenet5", Recipe(optimizer="adamw"))


def test_the_dropout_of_the_recipe_stands_for_the_networks_own():
    parts = ablation.parts(kerascnn.get("vgg11").network({}), Recipe(dropout=0.3))
    part = next(part for part in parts if part.name == "dropout")
    assert (part.was, part.becomes) == (0.3, 0.0)
    assert (part.arguments, part.recipe) == ({}, {"dropout": 0.0})


def test_every_value_of_a_recipe_without_something_is_legal():
    for changes in OFF.values():
        Recipe(**changes)
    assert all(hasattr(Augmentation(), name) for name in CHANGES)


@pytest.mark.parametrize(
    "name", ["alexnet", "googlenet", "resnet20_cifar", "resnet164v2_cifar", "zfnet", "vgg11_lrn"]
)
def test_a_network_without_one_of_its_parts_can_be_built(name):
    network = kerascnn.get(name).network({})
    norms = ("norm", "normalization", "dropout")  # cost nothing that is counted
    for part in ablation.parts(network, Recipe()):
        without = network.with_given(part.arguments)
        assert without.arguments != network.arguments
        bills = [vars(made.cost()) for made in (without, network)]
        assert part.name in norms or bills[0] != bills[1]


def test_an_off_value_must_be_legal():
    with pytest.raises(ArgumentError, match="dropout must be a number"):
        kerascnn.Space((kerascnn.Param("dropout", 0.1, kerascnn.Range(0.0, 0.5), off=0.9),))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A real ablation: one part, two runs of an epoch."""
    place = tmp_path_factory.mktemp("ablation") / "it"
    return asked(place, what=("shift", "augmentation.shift"), seeds=1)


def asked(place, **options):
    return ablation.ablate(
        TINY,
        "mnist5k",
        recipe=options.pop("recipe", ONE_EPOCH),
        directory=place,
        strategy="none",
        batch_size=512,
        console=Console(quiet=True),
        **options,
    )


def test_each_run_lacks_one_part_and_nothing_else(done):
    labels = [outcome.label for outcome in done.outcomes]
    assert labels == ["with all", "without shift"], "what is named twice is left out once"
    recipes = {
        path.name: kerascnn.Run.open(path).config.recipe
        for path in sorted(done.directory.iterdir())
        if path.is_dir()
    }
    whole, still = recipes["with-all-0"], recipes["without-augmentation.shift-0"]
    assert len(recipes) == 2
    assert whole.augmentation.shift == 0.1
    assert still == replace(whole, augmentation=Augmentation())


def test_table_and_picture_are_of_the_runs(done):
    with (done.directory / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["without"] for row in rows] == ["", "augmentation.shift"]
    for row in rows:
        metrics = kerascnn.Run.open(done.directory / row["run"]).metrics
        assert float(row["error"]) == metrics["test_error"]
    change = float(rows[1]["error"]) - float(rows[0]["error"])
    assert float(rows[1]["change"]) == pytest.approx(change)
    from PIL import Image

    assert Image.open(done.directory / "ablation.png").size == (720, 206)


def test_finished_runs_are_kept(done):
    before = {path: path.stat().st_mtime_ns for path in done.directory.glob("*/metrics.json")}
    again = asked(done.directory, what=("shift",), seeds=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.outcomes == done.outcomes


def test_changes_are_between_runs_of_the_same_seed():
    outcomes = (
        ablation.Outcome(part=None, values={0: 0.1, 1: 0.2, 2: 0.4}),
        ablation.Outcome(
            part=ablation.Part(name="norm", other="lrn", was="lrn", becomes="none"),
            values={0: 0.12, 1: 0.25, 2: 0.41},
        ),
    )
    error = Measure(name="error", title="Top-1 error")
    found = ablation.Ablation(directory=Path(), measure=error, outcomes=outcomes)
    shown = text(found.table(), 100)
    assert re.search(r"^with all +20\.00% +10\.00% to 40\.00% +3$", shown, re.M)
    line = r"^without lrn +25\.00% +12\.00% to 41\.00% +\+2\.00 +\+1\.00 to \+5\.00 +3$"
    assert re.search(line, shown, re.M)
    assert found.to_csv().splitlines()[-1] == "norm,2,0.41,0.01,without-norm-2"


def test_other_settings_are_refused(done, tmp_path):
    with pytest.raises(RunError, match=r"other settings: recipe\."):
        asked(done.directory, what=("shift",), recipe=Recipe(augmentation=Augmentation(shift=0.2)))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="something else than an ablation"):
        asked(tmp_path, what=("shift",))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_can_not_be_left_out_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ArgumentError, match=r"has no shfit to leave out\. Did you mean shift"):
        asked(tmp_path / "it", what=("shfit",))
    with pytest.raises(ArgumentError, match="Received: 'multiworker'"):
        ablation.ablate(TINY, "mnist5k", what=(), strategy="multiworker", directory=tmp_path / "it")
    assert not (tmp_path / "it").exists()


@pytest.mark.slow
def test_a_killed_ablation_goes_on(tmp_path):
    command = [
        *(sys.executable, "-m", "kerascnn", "ablate", "lenet5", "--what", "label_smoothing"),
        *("--set", "widths=2,2", "--seeds", "1", "--with", "epochs=6", "--with", "batch_size=512"),
        *("--strategy", "none", "--runs", str(tmp_path / "it")),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        second = tmp_path / "it" / "without-label_smoothing-0" / "history.csv"
        deadline = time.monotonic() + 240
        while not second.is_file():
            assert process.poll() is None, "it was to be killed in its second run"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    first = tmp_path / "it" / "with-all-0" / "metrics.json"
    before = first.stat().st_mtime_ns
    assert not second.with_name("metrics.json").is_file()
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "2 runs, 1 seed each: 1 finished, 1 to do." in shown
    assert first.stat().st_mtime_ns == before
    assert len(kerascnn.Run.open(second.parent).history) == 6
