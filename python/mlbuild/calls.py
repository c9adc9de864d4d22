"""The program: where it is, and how it is called."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from typing import IO, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, cast

from . import errors

Event = Dict[str, Any]
"""What the program tells while it works: one object of ``--progress json``. ``event`` is its kind:
``note``, ``detail``, ``warning``, ``project-file``, ``solve-started``, ``step``, ``solve-finished``,
``error``; more may come. A line that is no object has the kind ``text``."""


def program() -> str:
    """The path of the program: ``MLBUILD_PROGRAM``, else the one of this wheel, else that on PATH.

    :raises ProgramNotFound: where there is none.
    """
    named = os.environ.get("MLBUILD_PROGRAM")
    if named:
        return named
    folders = [sysconfig.get_path("scripts")]
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", user))
    for folder in folders:
        path = os.path.join(folder, "mlbuild")
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("mlbuild")
    if found is None:
        raise errors.ProgramNotFound(
            "no mlbuild program beside this Python, and none on PATH",
            ["pip install --force-reinstall WHEEL, of the file that it came in; or set MLBUILD_PROGRAM to its path"],
            3,
        )
    return found


def version() -> str:
    """The program's version.

    >>> version().split(".")[0].isdigit()
    True
    """
    return output(["--version"]).split()[1]


def output(
    arguments: Sequence[str],
    *,
    env: Optional[Mapping[str, str]] = None,
    on_event: Optional[Callable[[Event], None]] = None,
    cwd: Optional[str] = None,
    accepted: Sequence[int] = (0,),
) -> str:
    """What the program answers on standard output.

    :raises MlbuildError: where it ends with an exit code that isn't ``accepted``.
    """
    code, answer, story = call(arguments, env=env, on_event=on_event, cwd=cwd)
    if code not in accepted:
        raise _of_story(story, code)
    return answer


def answer(arguments: Sequence[str], **options: Any) -> Any:
    """The same, read as JSON."""
    return json.loads(output(arguments, **options))


def call(
    arguments: Sequence[str],
    *,
    env: Optional[Mapping[str, str]] = None,
    on_event: Optional[Callable[[Event], None]] = None,
    cwd: Optional[str] = None,
) -> Tuple[int, str, List[Event]]:
    """Exit code, standard output, and what was told on standard error."""
    process = _started(arguments, env, cwd)
    # Standard output is read beside the story, which the caller's thread tells: a progress bar of a
    # notebook belongs to it.
    said: List[str] = []
    reader = threading.Thread(target=lambda: said.append(_stream(process.stdout).read()), daemon=True)
    reader.start()
    story: List[Event] = []
    with _interrupts(process):
        for line in _stream(process.stderr):
            event = _event(line)
            story.append(event)
            if on_event is not None:
                on_event(event)
        code = process.wait()
    reader.join()
    return code, "".join(said), story


def passed_through(
    arguments: Sequence[str], *, env: Optional[Mapping[str, str]] = None, cwd: Optional[str] = None, capture: bool
) -> Tuple[int, str, str]:
    """Exit code, standard output and the story of a program whose output is the caller's own.

    Both streams are written to ``sys.stdout`` and ``sys.stderr`` as they come (a notebook shows them),
    or kept where ``capture`` is set.
    """
    process = _started(arguments, env, cwd)
    kept: Tuple[List[str], List[str]] = ([], [])

    def read(stream: IO[str], to: List[str], shown: Optional[IO[str]], most: Optional[int]) -> None:
        for line in stream:
            to.append(line)
            if most is not None and len(to) > most:
                del to[0]
            if shown is not None:
                shown.write(line)
                shown.flush()

    other = threading.Thread(
        target=read,
        args=(_stream(process.stderr), kept[1], None if capture else sys.stderr, None if capture else 200),
        daemon=True,
    )
    other.start()
    with _interrupts(process):
        read(_stream(process.stdout), kept[0], None if capture else sys.stdout, None if capture else 0)
        code = process.wait()
    other.join()
    return code, "".join(kept[0]), "".join(kept[1])


def _started(
    arguments: Sequence[str], env: Optional[Mapping[str, str]], cwd: Optional[str]
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [program(), *arguments],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


class _interrupts:
    """Ctrl-C, or a notebook's stop button, ends the program as it ends by itself: nothing is left."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _stream(stream: Optional[IO[str]]) -> IO[str]:
    assert stream is not None
    return stream


def _event(line: str) -> Event:
    if line.startswith("{"):
        try:
            value: object = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict) and "event" in value:
            return cast(Event, value)
    return {"event": "text", "text": line.rstrip("\n")}


def _of_story(story: Sequence[Event], code: int) -> errors.MlbuildError:
    """The error that a story ends with."""
    for event in reversed(story):
        if event["event"] == "error":
            return errors.of(event["message"], event["hints"], code)
    return of_text("\n".join(event["text"] for event in story if event["event"] == "text"), code)


def of_text(text: str, code: int) -> errors.MlbuildError:
    """The error that plain words end with: ``error: …`` and, below it, ``hint: …``.

    >>> error = of_text("note\\nerror: no such run: x\\n  hint: mlbuild runs list\\n", 2)
    >>> error.message, error.hints
    ('no such run: x', ['mlbuild runs list'])
    """
    at = text.rfind("error: ") if text.startswith("error: ") else text.rfind("\nerror: ") + 1
    if "error: " not in text[at : at + 7]:
        return errors.of(text.strip() or f"mlbuild ended with exit code {code}", [], code)
    message: List[str] = []
    hints: List[str] = []
    for line in text[at + len("error: ") :].splitlines():
        if line.strip().startswith("hint: "):
            hints.append(line.strip()[len("hint: ") :])
        elif not hints:
            message.append(line)
    return errors.of("\n".join(message).strip(), hints, code)
