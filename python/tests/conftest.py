"""What the tests stand on: the engines that ``integration/engines/up`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import mlbuild
import pytest


@dataclass(frozen=True)
class Engines:
    """Addresses of real daemons."""

    docker: str
    registry: str
    base: str


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """The engines; Docker is the one that the program finds."""

    def of(name: str) -> str:
        value = os.environ.get(name)
        assert value, f"{name} isn't set: integration/engines/up, and what integration/engines/env prints"
        return value

    docker = of("MLBUILD_TEST_DOCKER_CONTAINERD")
    monkeypatch.setenv("DOCKER_HOST", docker)
    monkeypatch.setenv("DOCKER_CONFIG", of("MLBUILD_TEST_DOCKER_CONFIG"))
    monkeypatch.setenv("PATH", f"{of('MLBUILD_TEST_BIN')}:{os.environ['PATH']}")
    return Engines(docker, of("MLBUILD_TEST_REGISTRY"), of("MLBUILD_TEST_PYTHON_BASE"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project, in which the test stands."""
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    (tmp_path / "train.py").write_text("import os, six; print(six.__version__, os.environ.get('LR'))\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBUILD_STATE_DIR", str(tmp_path.parent / "state"))
    return tmp_path


@pytest.fixture
def image(engines: Engines, project: Path) -> mlbuild.Image:
    """Its image, not yet built."""
    builder = "docker://" + engines.docker[len("unix://") :]
    return mlbuild.Image.from_project(project).base(engines.base).option("--builder", builder)
