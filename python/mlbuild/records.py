"""Runs: started, recorded, listed and brought back."""

from __future__ import annotations

import html
import os
import secrets
import shlex
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union, cast, overload

from . import calls, errors

_Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Run:
    """A container that ran."""

    id: Optional[str]
    """The run's id; None where it wasn't recorded."""
    image: str
    exit_code: int
    output: str = ""
    """Its standard output, where that was captured."""
    project: Optional[str] = None

    def record(self) -> "RunRecord":
        """What was recorded of it."""
        if self.id is None:
            raise ValueError("the run wasn't recorded")
        return _record(self.id, self.project)


def run(
    image: str,
    *command: str,
    env: Optional[Mapping[str, Optional[str]]] = None,
    volumes: Sequence[str] = (),
    ports: Sequence[Union[int, str]] = (),
    gpus: Optional[str] = None,
    options: Sequence[str] = (),
    run_id: Optional[str] = None,
    project: Optional[_Path] = None,
    record: bool = True,
    remove: bool = True,
    capture: bool = False,
    check: bool = True,
) -> Run:
    """Runs a command in a container of an image, by digest, and records it in ``mlbuild.runs/``.

    ``env`` has the values of variables (None: as they are here); they reach the container without
    standing on a command line, and only their names are recorded. ``options`` are further flags of
    ``docker run``. What the program writes is shown, or kept where ``capture`` is set. ``check=False``
    returns a run that failed instead of raising.

    :raises RunFailed: where it ends with another exit code than 0.
    :raises MlbuildError: where it couldn't be started.
    """
    arguments = ["run"]
    if remove:
        arguments.append("--rm")
    if record:
        run_id = run_id or _new_id()
        arguments.append(f"--run-id={run_id}")
    else:
        arguments.append("--no-record")
        run_id = None
    variables = dict(env or {})
    arguments += [f"--env={name}" for name in variables]
    arguments += [f"--volume={volume}" for volume in volumes]
    arguments += [f"--publish={port}" for port in ports]
    if gpus is not None:
        arguments.append(f"--gpus={gpus}")
    where = os.fspath(project) if project is not None else None
    code, output, said = calls.passed_through(
        [*arguments, *options, image, *command],
        env={name: value for name, value in variables.items() if value is not None},
        cwd=where,
        capture=capture,
    )
    ended = Run(run_id, image, code, output, where)
    if code == 0:
        return ended
    if not _ran(ended, said):
        raise calls.of_text(said, code)
    if not check:
        return ended
    raise errors.RunFailed(f"{' '.join(command) or image} ended with exit code {code}", ended, code)


def _ran(run: Run, said: str) -> bool:
    """True if the exit code is the container's: its record says so. Without one the last words tell,
    which a program may write too."""
    if run.id is not None:
        try:
            return run.record().exit_code is not None
        except errors.MlbuildError:
            return False
    lines = [line for line in said.splitlines() if line.strip()]
    while lines and lines[-1].lstrip().startswith("hint: "):
        lines.pop()
    return not lines or not lines[-1].startswith("error: ")


def _new_id() -> str:
    """An id that sorts after those before it."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class RunRecord:
    """What a run was (docs/run-records.md)."""

    data: Mapping[str, Any]
    """The record, as ``mlbuild runs show --format json`` prints it."""

    @property
    def id(self) -> str:
        return self.data["id"]

    @property
    def created(self) -> str:
        """When it was made, as RFC 3339 in UTC."""
        return self.data["created"]

    @property
    def image(self) -> Optional[str]:
        """The image's reference, without a digest."""
        return self.data.get("image", {}).get("reference")

    @property
    def digest(self) -> Optional[str]:
        """Of the image: its index's, else its manifest's."""
        image: Dict[str, Any] = self.data.get("image", {})
        platforms: Dict[str, Dict[str, Any]] = image.get("platforms", {})
        manifests = [platform.get("manifest") for platform in platforms.values()]
        return image.get("index") or image.get("digest") or next(iter(manifests), None)

    @property
    def command(self) -> List[str]:
        """The program and its arguments, in the container."""
        return self.data.get("command", {}).get("argv", [])

    @property
    def status(self) -> str:
        """``bound``, ``started`` or ``finished``."""
        return self.data.get("status", "bound")

    @property
    def exit_code(self) -> Optional[int]:
        return self.data.get("outcome", {}).get("exit_code")

    @property
    def commit(self) -> Optional[str]:
        """The commit of its code."""
        return self.data.get("git", {}).get("commit")

    @property
    def lock(self) -> Optional[str]:
        """Checksum of the image's entry in the lock."""
        return self.data.get("lock")


def _cell(value: Any) -> str:
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


class Runs(Sequence[RunRecord]):
    """Records, newest first."""

    def __init__(self, records: Sequence[RunRecord], unreadable: Sequence[Any] = ()) -> None:
        self._records = list(records)
        self.unreadable = list(unreadable)
        """Files of ``mlbuild.runs/`` that can't be read, and why."""

    @overload
    def __getitem__(self, index: int) -> RunRecord: ...
    @overload
    def __getitem__(self, index: slice) -> "Runs": ...
    def __getitem__(self, index: Union[int, slice]) -> Union[RunRecord, "Runs"]:
        if isinstance(index, slice):
            return Runs(self._records[index])
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records)

    def rows(self) -> List[Dict[str, Any]]:
        """A row for each run: id, created, status, exit code, image, digest, commit, command."""
        return [
            {
                "id": one.id,
                "created": one.created,
                "status": one.status,
                "exit_code": one.exit_code,
                "image": one.image,
                "digest": one.digest,
                "commit": one.commit,
                "command": " ".join(one.command),
            }
            for one in self._records
        ]

    def to_pandas(self) -> Any:
        """The same as a DataFrame. Needs pandas."""
        import pandas  # type: ignore[import-untyped, import-not-found, unused-ignore] # pyright: ignore

        made: Any = cast(Any, pandas).DataFrame(self.rows())
        if self._records:
            made["created"] = cast(Any, pandas).to_datetime(made["created"])
        return made

    def _repr_html_(self) -> str:
        rows = self.rows()
        if not rows:
            return "<p>no runs</p>"
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        body = "".join("<tr>" + "".join(map(_cell, row.values())) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def runs(
    *,
    project: Optional[_Path] = None,
    status: Optional[str] = None,
    image: Optional[str] = None,
    commit: Optional[str] = None,
    command: Optional[str] = None,
    host: Optional[str] = None,
    since: Optional[str] = None,
    limit: Optional[int] = None,
) -> Runs:
    """The runs of a project, newest first; which, as ``mlbuild runs list`` has it.

    :raises MlbuildError: and which, by what went wrong.
    """
    given = [
        ("status", status),
        ("image", image),
        ("commit", commit),
        ("command", command),
        ("host", host),
        ("since", since),
        ("limit", limit),
        ("project", os.fspath(project) if project is not None else None),
    ]
    flags = [f"--{name}={value}" for name, value in given if value is not None]
    answer = calls.answer(["runs", "list", "--format=json", *flags])
    return Runs([RunRecord(one) for one in answer["runs"]], answer.get("unreadable", ()))


def _record(id: str, project: Optional[_Path]) -> RunRecord:
    flags = [f"--project={os.fspath(project)}"] if project is not None else []
    return RunRecord(calls.answer(["runs", "show", "--format=json", *flags, "--", id]))


def _is_recorded(id: str, project: Optional[_Path]) -> bool:
    try:
        _record(id, project)
    except errors.UsageError:
        return False
    return True


@dataclass(frozen=True)
class Restored:
    """A run that was brought back."""

    run: str
    """Its id."""
    image: str
    """The pinned image."""
    command: Sequence[str]
    """The command line that starts it again."""
    folder: str
    """Where its code is."""
    branch: Optional[str] = None
    """The branch that its code is on."""

    def _repr_html_(self) -> str:
        rows = [("run", self.run), ("image", self.image), ("branch", self.branch), ("folder", self.folder)]
        rows.append(("command", shlex.join(self.command)))
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows if value)
        return f"<table>{cells}</table>"


def restore(
    run: Union[str, RunRecord, Run],
    *,
    worktree: Optional[_Path] = None,
    code: bool = True,
    image: Optional[str] = None,
    project: Optional[_Path] = None,
) -> Restored:
    """Brings back a run: its code, as a branch here or in ``worktree``; its image; its command.

    Starts nothing; the answer has the command that does. ``image`` is where the record is attached,
    if it is not in the project. ``mlflow:RUN_ID`` is a run of MLflow's that :mod:`mlbuild.mlflow`
    tagged, found as MLflow's own client finds it.

    :raises MlbuildError: and which, by what went wrong.
    """
    id = run if isinstance(run, str) else run.id
    if id is None:
        raise ValueError("the run wasn't recorded")
    if id.startswith("mlflow:"):
        from . import mlflow

        id, tagged = mlflow.tagged(id[len("mlflow:") :])
        if image is None and not _is_recorded(id, project):
            image = tagged
    flags = [] if code else ["--no-code"]
    given = [("worktree", worktree), ("from", image), ("project", project)]
    flags += [f"--{name}={os.fspath(value)}" for name, value in given if value is not None]
    answer = calls.answer(["restore", "--no-shell", "--format=json", *flags, "--", id])
    return Restored(**{name: value for name, value in answer.items() if name in Restored.__dataclass_fields__})
