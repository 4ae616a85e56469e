"""The files for clusters are well-formed, and call commands and options that exist."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from kerascnn_tuning.commands import app
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem

HERE = Path(__file__).parents[1]


def options(command):
    found = typer.main.get_command(app).commands[command]
    return {name for parameter in found.params for name in parameter.opts}


def test_the_slurm_script_is_bash_with_real_options():
    script = HERE / "deploy" / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text().replace("\\\n", " ")
    used = dict(re.findall(r"kerascnn tune (\w+)(.*)", text))
    assert set(used) == {"chief", "worker"}
    for command, rest in used.items():
        assert set(re.findall(r"--[a-z-]+", rest)) <= options(command)


def test_the_kubernetes_file_is_yaml_with_real_options():
    documents = list(yaml.safe_load_all((HERE / "deploy" / "kubernetes.yaml").read_text()))
    jobs = [d for d in documents if d["kind"] == "Job"]
    assert len(jobs) == 2
    volumes = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"}
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        words = [*container["command"], *container["args"]]
        assert words[:2] == ["kerascnn", "tune"]
        assert {w for w in words if w.startswith("--")} <= options(words[2])
        assert {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]
                if "persistentVolumeClaim" in v} <= volumes  # fmt: skip
        mounted = {m["name"] for m in container["volumeMounts"]}
        assert mounted == {v["name"] for v in pod["volumes"]}


@pytest.mark.parametrize("file", sorted((HERE / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_every_study_can_begin(file):
    problem = Problem.of(Plan.read(file), classes=10)
    assert problem.hyperparameters().space
    assert problem.refusal({}) is None
    assert problem.share_allowed(30) > 0
