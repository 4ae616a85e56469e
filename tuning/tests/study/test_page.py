"""The page of a real study: `kerascnn report STUDY`."""

import json
import re
import shutil

import pytest
from kerascnn_tuning.study import pictures
from kerascnn_tuning.study.study import Study
from typer.testing import CliRunner

from kerascnn import reports
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, KerascnnError


def test_a_study_has_a_page_with_its_trials_and_pictures(study, tmp_path):
    result = CliRunner().invoke(
        app, ["report", str(study.path), "--save", str(tmp_path / "study.html")]
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "study.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2 id=[^>]*>(.*?)</h2>", text)
    assert headings == ["Summary", "Best trial", "Pictures", "Trials", "Do it again"]
    rows = re.findall(r'<tr><th scope="row">(\d{4})</th>', text)
    assert rows == [row.id for row in study.leaderboard]
    assert text.count("data:image/webp;base64,") == 2  # too few trials for importances
    assert "are too few to tell importances" in text
    assert f"kerascnn report {study.path / 'best'}" in text
    sources = re.findall(r'(?:src|href)="([^"]{5})', text)
    assert set(sources) <= {"data:"}


def test_a_search_without_a_complete_trial_has_a_page(study, tmp_path):
    copy = shutil.copytree(study.path, tmp_path / "copy")
    shutil.rmtree(copy / "oracle")
    text = reports.report(copy, echo=None).html()
    assert "0 trials are complete." in text
    assert "Pictures" not in text


def test_finals_are_in_it(study, tmp_path):
    copy = shutil.copytree(study.path, tmp_path / "copy")
    finals = copy / "finals" / "3-epochs"
    finals.mkdir(parents=True)
    (finals / "finals.csv").write_text("contestant,seed,val_error\n<b>0001,5,0.25\n")
    text = reports.report(copy, echo=None).html()
    assert "3-epochs: runs of the finalists and of the default" in text
    assert "&lt;b&gt;0001" in text


def test_what_does_not_fit_is_refused(study, tmp_path):
    with pytest.raises(ArgumentError, match="--data is for a run"):
        reports.report(study.path, data="mnist5k", echo=None)
    copy = shutil.copytree(study.path, tmp_path / "copy")
    (copy / "study.json").write_text(json.dumps({"plan": 5}))
    with pytest.raises(KerascnnError, match=r"study\.json is damaged"):
        reports.report(copy, echo=None)


def test_names_of_the_front_are_not_written_over_each_other(study):
    """Where trials are close to each other, some names are left out."""
    rows = study.leaderboard
    assert len({row.id for row in rows}) == len(rows)
    figure = pictures.pareto_picture(Study(study.path), rows)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert boxes
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert all(tick.endswith(" %") for tick in ticks)
