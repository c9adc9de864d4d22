"""Images built, run, recorded and brought back, by real daemons; tags in a real MLflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, List

import mlbuild
import pytest

from .conftest import Engines


def test_from_a_project_to_a_run_and_back(
    engines: Engines, image: mlbuild.Image, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    events: List[mlbuild.Event] = []
    name = f"{engines.registry}/python/cracks:1"
    built = image.build(name, push=True, on_event=events.append)
    assert built.pinned == f"{name}@{built.digest}" and built.pushed
    assert any(event["event"] == "step" for event in events)
    assert built.digest in built._repr_html_()  # pyright: ignore[reportPrivateUsage]
    # The code is part of the image, and not committed again: nothing changed.
    assert image.build(name, push=True).action == "unchanged"

    ran = built.run("python", "train.py", env={"LR": "0.1"}, capture=True)
    assert ran.output == "1.17.0 0.1\n" and ran.exit_code == 0
    shown = built.run("python", "train.py", env={"LR": "0.2"})
    assert "1.17.0 0.2" in capsys.readouterr().out
    with pytest.raises(mlbuild.RunFailed) as failed:
        built.run("python", "-c", "import sys; print('error: of the program', file=sys.stderr); sys.exit(3)")
    assert failed.value.exit_code == 3
    failing = built.run("false", check=False, capture=True)
    assert failing.exit_code == 1

    listed = mlbuild.runs()
    assert [one.id for one in listed if one.id == ran.id] == [ran.id]
    record = ran.record()
    assert record.command == ["python", "train.py"] and record.digest == built.digest
    assert record.exit_code == 0 and record.commit
    assert "0.1" not in str(record.data["command"])
    assert len(mlbuild.runs(status="failed")) == 2
    # Both that failed may have started in one second.
    newest = [one.id for one in mlbuild.runs(limit=2)]
    assert newest == [one.id for one in mlbuild.runs(status="failed")] and failing.id in newest
    assert [one.id for one in mlbuild.runs(limit=1)] == newest[:1]
    assert "train.py" in listed._repr_html_()  # pyright: ignore[reportPrivateUsage]

    assert shown.id is not None
    back = mlbuild.restore(shown.id, worktree=project.parent / "back")
    assert back.image == f"{name.rpartition(':')[0]}@{built.digest}"
    assert back.command[-2:] == ["python", "train.py"]
    assert (project.parent / "back" / "train.py").exists()


def test_what_cannot_be_started_is_no_failed_program(engines: Engines, project: Path) -> None:
    with pytest.raises(mlbuild.MlbuildError) as raised:
        mlbuild.run(f"{engines.registry}/python/nosuch:1", "true", capture=True)
    assert not isinstance(raised.value, mlbuild.RunFailed)
    assert "nosuch" in raised.value.message


def test_a_failing_build_says_why(image: mlbuild.Image, engines: Engines) -> None:
    with pytest.raises(mlbuild.BuildError) as raised:
        image.run_commands("exit 7").build(f"{engines.registry}/python/failing:1", lock=False)
    assert "7" in raised.value.message


def test_mlflow_tags_its_runs_and_finds_them(
    engines: Engines, image: mlbuild.Image, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    built = image.option("--no-code").build(f"{engines.registry}/python/mlflow:1", push=True)
    # What a container is told, and its MLflow with the project mounted.
    told = built.run("env", capture=True)
    for line in told.output.splitlines():
        name, _, value = line.partition("=")
        if name.startswith("MLBUILD_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.parent}/mlflow.db")
    # In a process of its own: MLflow looks for plugins when it is imported, and this is how users meet it.
    code = "import mlflow; run = mlflow.start_run(); mlflow.end_run(); print(run.info.run_id)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    mlflow_id = ran.stdout.split()[-1]
    mlflow: Any = __import__("mlflow")
    tags = mlflow.MlflowClient().get_run(mlflow_id).data.tags
    assert tags["mlbuild.run_id"] == told.id and tags["mlbuild.digest"] == built.digest
    if sys.version_info >= (3, 11):
        assert tags["mlbuild.lock"] == told.record().lock
    back = mlbuild.restore(f"mlflow:{mlflow_id}", code=False)
    assert back.run == told.id and back.image.endswith(f"@{built.digest}")

    plain = mlflow.MlflowClient().create_run(default_experiment(mlflow)).info.run_id
    with pytest.raises(mlbuild.UsageError, match="mlbuild.run_id"):
        mlbuild.restore(f"mlflow:{plain}")


def default_experiment(mlflow: Any) -> str:
    """The id of MLflow's default experiment."""
    return mlflow.MlflowClient().search_experiments()[0].experiment_id
