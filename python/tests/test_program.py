"""The package against the program, without a daemon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlbuild
import pytest


def test_version_is_the_wheels() -> None:
    from importlib.metadata import version

    assert mlbuild.version() == version("mlbuild")


def test_every_public_name_is_there() -> None:
    for name in mlbuild.__all__:
        assert getattr(mlbuild, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        getattr(mlbuild, "nosuch")


def test_importing_loads_nothing_else() -> None:
    code = "import sys, mlbuild; print([m for m in sys.modules if m.startswith('mlbuild.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_module_is_the_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "mlbuild", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("mlbuild ")


@pytest.mark.parametrize(
    ("image", "kind", "code", "words"),
    [
        (mlbuild.Image().base("Not A Name"), mlbuild.UsageError, 2, "--base"),
        (mlbuild.Image().requirements("nosuch.txt").base("debian:12"), mlbuild.UsageError, 2, "nosuch.txt"),
        (mlbuild.Image().option("--nosuch"), mlbuild.UsageError, 2, "--nosuch"),
        (mlbuild.Image().option("--builder", "unix:///nosuch.sock").base("x.invalid/y@sha256:" + "0" * 64), mlbuild.EnvironmentError, 3, "nosuch.sock"),
    ],
)
def test_errors_have_kind_code_and_words(
    image: mlbuild.Image, kind: type, code: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    image = mlbuild.Image(str(tmp_path), image.flags)
    with pytest.raises(kind) as raised:
        image.build("x.invalid/y:1", lock=False)
    assert isinstance(raised.value, mlbuild.MlbuildError)
    assert raised.value.exit_code == code
    assert words in str(raised.value)
    assert not raised.value.message.startswith("error")


def test_a_missing_run_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(mlbuild.UsageError, match="nosuch") as raised:
        mlbuild.restore("nosuch", project=tmp_path)
    assert raised.value.hints


def test_an_id_that_others_gave_is_no_flag(tmp_path: Path) -> None:
    for id in ("--exec", "--help", "--wandb-metadata=/etc/passwd"):
        with pytest.raises(mlbuild.UsageError, match="--"):
            mlbuild.restore(id, project=tmp_path)


def test_a_missing_program_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))  # pyright: ignore
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MLBUILD_PROGRAM", raising=False)
    with pytest.raises(mlbuild.ProgramNotFound, match="MLBUILD_PROGRAM"):
        mlbuild.program()


def test_the_dockerfile_is_the_one_of_the_flags(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    image = mlbuild.Image.from_project(tmp_path).base("debian:12").apt("ffmpeg").env(STAGE="test").port(8888)
    text = image.dockerfile()
    assert "ffmpeg" in text and "STAGE=test" in text and "EXPOSE 8888" in text


def test_a_secret_stands_on_no_command_line() -> None:
    image = mlbuild.Image().secret("token", "s3cr3t-value")
    assert "s3cr3t-value" not in " ".join(image.command("x:1"))
    assert "s3cr3t-value" not in repr(image)
    with pytest.raises(ValueError, match="one of"):
        mlbuild.Image().secret("token")


def test_nothing_is_current_outside() -> None:
    here = mlbuild.current()
    assert not here and here.image is None and here.digest is None


def test_the_record_of_the_current_run_is_found_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "mlbuild.runs").mkdir()
    (tmp_path / "mlbuild.runs" / "exp-7.toml").write_text('lock = "sha256:1"\n[git]\ncommit = "abc"\n')
    (tmp_path / "secret.toml").write_text('lock = "x"\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLBUILD_IMAGE", "r/x@sha256:2")
    monkeypatch.setenv("MLBUILD_RUN_ID", "exp-7")
    here = mlbuild.current()
    assert here.digest == "sha256:2"
    if sys.version_info >= (3, 11):
        assert (here.commit, here.lock) == ("abc", "sha256:1")
    monkeypatch.setenv("MLBUILD_RUN_ID", "../secret")
    assert mlbuild.current().record is None
