"""`kerascnn tune`: what a user types, what is printed, and what is refused."""

import dataclasses
import json
import re
import subprocess
import sys
import tomllib

import pytest
import typer
from kerascnn_tuning import commands
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.options import FIELDS
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.study.study import Study
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError, StrategyError

TINY = [
    *("--input-shape", "16x16x1", "--only", "kernels", "--choose", "widths=2,3"),
    *("--fix", "hidden=8,8", "--fix", "batch_size=1000", "--epochs", "1"),
]


def tune(*arguments):
    return kerascnn("tune", *arguments)


def kerascnn(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_help_explains_itself():
    assert all(word in tune("--help") for word in ("search", "chief", "worker", "local", "report"))
    assert "--max-params" in tune("lenet5", "--help")


def test_the_space_is_a_table_with_its_size_and_the_share_within_budget():
    output = tune("lenet5", "--space", "--max-params", "30k", *TINY)
    assert "Configurations: 36" in output
    share = int(re.search(r"within the budget: (\d+)%", output).group(1))
    assert 40 < share < 72  # of the nine pairs of kernels five fit into 16×16


def test_a_search_from_the_command_line(tmp_path):
    directory = tmp_path / "study"
    output = tune("lenet5", *TINY, "--max-trials", 2, "--dir", directory, "--json")
    found = json.loads(output[output.index("{") :])
    assert len(found["trials"]) == 2
    assert found["trials"][0]["arguments"]["hidden"] == [8, 8]
    assert (directory / "best" / "model.keras").is_file()
    more = tune("search", "--resume", directory, "--max-trials", 3, "--json")
    trials = json.loads(more[more.index("{") :])["trials"]
    assert len(trials) == 3

    again = ("train", "--from-trial", directory / trials[1]["trial"], "--run", tmp_path / "again")
    output = kerascnn(*again, "--json")
    metrics = json.loads(output[output.index("{") :])
    assert metrics["val_error"] == trials[1]["metrics"]["val_error"]
    assert metrics["val_loss"] == pytest.approx(trials[1]["metrics"]["val_loss"], rel=1e-5)
    with pytest.raises(ArgumentError, match="has no trial '0099'"):
        kerascnn("train", "--from-trial", directory / "0099")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet5", "--study", "x.toml"], "Pass either"),
        (["lenet5", "--fix", "kernal=5"], "no argument 'kernal'. Did you mean kernels"),
        (["lenet5", "--fix", "kernel"], "--fix must be parameter=value"),
        (["lenet5", "--range", "dropout=0.5"], "--range must be parameter=LOW:HIGH"),
        (["lenet5", "--max-params", "some"], "--max-params must be a positive number"),
        (["--study", "missing.toml"], "can't be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        tune(*arguments)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--max-minutes=0", "max_minutes must be a positive number"),
        ("--max-minutes=-1", "max_minutes must be a positive number"),
        ("--max-minutes=nan", "max_minutes must be a positive number"),
        ("--max-minutes=inf", "max_minutes must be a positive number"),
        ("--max-trials=0", "max_trials must be at least 1"),
        ("--max-trials=-3", "max_trials must be at least 1"),
        ("--max-params=0", "--max-params must be a positive number"),
        ("--max-macs=-5M", "--max-macs must be a positive number"),
        ("--max-memory=nan", "--max-memory must be a positive number"),
        ("--epochs=0", "epochs must be at least 1"),
        ("--seed=-1", "seed must be at least 0"),
        ("--seed=99999999999", "seed must be less than"),
        ("--repeats=0", "repeats must be at least 1"),
        ("--retries=-1", "retries must be at least 0"),
        ("--failure-limit=0", "failure_limit must be at least 1"),
        ("--keep=0", "keep must be at least 1"),
        ("--precision=foo", "precision must be one of float32"),
        ("--strategy=mirrored:0", "strategy mirrored:N needs a whole number"),
        ("--strategy=foo", 'strategy must be "auto"'),
        ("--tuner=magic", "tuner must be one of"),
        ("--objective=val_error,val_error", "val_error is given more than once"),
        ("--objective=", "An objective must be one of"),
        ("--only=kernel,kernel", "kernel is given more than once"),
        ("--input-shape=0x4x1", "--input-shape must be"),
        ("--data=", "data must be a text"),
        ("--choose=kernel=3,3", "3 is given more than once"),
        ("--range=dropout=0.5:0.1", "the lower one first"),
        ("--range=dropout=0:nan", "range"),
        ("--fix=kernel=", "--fix must be parameter=value"),
        ("--fix=kernel=5 --fix=kernel=7", "--fix says something about kernel more than once"),
        ("--fix=kernel=5 --choose=kernel=3,5", "fix and choose both say something about kernel"),
        ("--choose=dropout=0,0.5 --range=dropout=0:1", "choose and range both"),
        ("--space --dir=somewhere", "--dir would have no effect"),
        ("--space --recycle=3", "--recycle would have no effect"),
    ],
)
def test_every_option_with_a_value_that_makes_no_sense_is_refused_at_once(
    option, message, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("data was read")

    monkeypatch.setattr("kerascnn_tuning.searching.load", never)
    with pytest.raises((ArgumentError, StrategyError), match=message):
        tune("lenet5", *option.split())


@pytest.mark.parametrize("option", ["--stale", "--wait"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_chief_waits_for_a_positive_time(option, value):
    result = CliRunner().invoke(
        app, ["tune", "chief", "x.toml", "--dir", "x", f"{option}={value}"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "positive number of seconds" in result.output


STUDY = """
architecture = "lenet5"
input_shape = [16, 16, 1]
max_trials = 7
seed = 3
[fix]
kernel = 5
[choose]
widths = [2, 3]
"""


@pytest.fixture
def plans(monkeypatch, tmp_path):
    """`plans(...)`: what would be searched with these arguments, and where."""
    found = []

    def search_on(plan, *, directory, console, most):
        found.append((plan, directory))
        raise KeyboardInterrupt

    monkeypatch.setattr("kerascnn_tuning.searching.search_on", search_on)
    (tmp_path / "study.toml").write_text(STUDY)

    def run(*arguments):
        CliRunner().invoke(app, ["tune", *map(str, arguments)])
        return found[-1]

    return run


def test_options_beside_a_study_file_replace_what_it_says(plans, tmp_path):
    study = tmp_path / "study.toml"
    plan, directory = plans(
        *("--study", study, "--dir", tmp_path / "x", "--tuner", "grid", "--max-params", "5k"),
        *("--seed", 9, "--fix", "widths=4,4", "--choose", "hidden=8,16", "--epochs", 2),
        *("--objective", "val_loss,params", "--precision", "float64", "--repeats", 2),
    )
    assert directory == tmp_path / "x"
    assert (plan.tuner, plan.max_params, plan.seed, plan.epochs) == ("grid", 5000, 9, 2)
    assert (plan.precision, plan.repeats) == ("float64", 2)
    assert plan.objectives == ("val_loss", "params")
    assert plan.fix == {"kernel": 5, "widths": (4, 4)}
    assert plan.choose == {"hidden": (8, 16)}
    assert (plan.max_trials, plan.input_shape) == (7, (16, 16, 1))  # the file's
    assert plans("--study", study)[0] == Plan.read(study)


def test_every_option_of_a_plan_is_taken_over():
    """A new option must be merged, too, or say why it isn't."""
    command = typer.main.get_command(commands.app).commands["search"]
    handled = {*FIELDS, "name", "study", "resume", "dir_", "space", "recycle", "json"}
    handled |= {"finalists", "seeds"}  # of what follows the search
    assert {parameter.name for parameter in command.params} <= handled
    assert {field for field, _ in FIELDS.values()} <= {
        field.name for field in dataclasses.fields(Plan)
    }


def test_resume_merges_what_may_change_and_refuses_the_rest_by_name(tmp_path, data):
    plan = Plan.from_dict(tomllib.loads(STUDY), owner="test")
    study = Study.begin(plan, tmp_path / "s", data)
    study.require_same_plan(plan.changed({"max_trials": 9, "max_minutes": 3.0, "keep": 1}))
    for options, message in (
        (["--tuner", "bayesian"], "tuner: random then, bayesian now"),
        (["--seed", "4"], "seed: 3 then, 4 now"),
        (["--precision", "float64"], "precision: float32 then, float64 now"),
        (["--fix", "kernel=3"], "fix"),
        (["--choose", "widths=2,4"], r"widths_1: \(2, 3\) then, \(2, 4\) now"),
        (["--max-params", "9k"], "max_params: None then, 9000 now"),
        (["--data", "cifar10"], "data: mnist5k then, cifar10 now"),
        (["--repeats", "2"], "repeats: 1 then, 2 now"),
    ):
        with pytest.raises(StudyError, match=message):
            tune("search", "--resume", tmp_path / "s", *options)
    with pytest.raises(ArgumentError, match="Leave --dir out"):
        tune("search", "--resume", tmp_path / "s", "--dir", tmp_path / "t")


def test_the_space_as_json():
    found = json.loads(tune("lenet5", "--space", "--json", "--only", "kernel"))
    assert found["configurations"] == 9
    assert found["share_within_budget"] == 1.0


def test_the_benchmark_is_found_under_bench_and_refuses_unknown_parts():
    assert "--rounds" in kerascnn("bench", "tune", "--help")
    with pytest.raises(ArgumentError, match="--part must be one of waste, time, workers, growth"):
        kerascnn("bench", "tune", "--part", "speed")


def test_a_report_needs_a_study(tmp_path):
    with pytest.raises(StudyError, match="no study"):
        tune("report", tmp_path)


def test_listing_commands_loads_neither_keras_nor_keras_tuner():
    code = (
        "import sys, kerascnn_tuning.commands, kerascnn_tuning\n"
        "print([m for m in ('keras', 'tensorflow', 'keras_tuner') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
