"""What goes wrong, by the program's exit codes (docs/exit-codes.md)."""

from __future__ import annotations

from typing import Sequence


class MlbuildError(Exception):
    """The program ended with an error.

    ``message`` says what was wrong and where, ``hints`` what to do next.
    """

    def __init__(self, message: str, hints: Sequence[str] = (), exit_code: int = 1) -> None:
        self.message = message
        self.hints = list(hints)
        self.exit_code = exit_code
        super().__init__("\n".join([message, *(f"hint: {hint}" for hint in self.hints)]))


class BuildError(MlbuildError):
    """The build, the push or the work itself failed (exit code 1)."""


class UsageError(MlbuildError):
    """An argument or a file is wrong (exit code 2)."""


class EnvironmentError(MlbuildError):  # noqa: A001 - the word of docs/exit-codes.md
    """The machine lacks something: a builder, a registry, a log-in, space (exit code 3)."""


class DifferenceError(MlbuildError):
    """A pin would have to change, or an image isn't the same again (exit code 4)."""


class ProgramNotFound(MlbuildError):
    """There is no ``mlbuild`` beside this Python, and none on PATH."""


class RunFailed(MlbuildError):
    """A container ended with another exit code than 0; ``run`` is what is known of it."""

    def __init__(self, message: str, run: object, exit_code: int) -> None:
        super().__init__(message, exit_code=exit_code)
        self.run = run


_BY_EXIT_CODE = {1: BuildError, 2: UsageError, 3: EnvironmentError, 4: DifferenceError}


def of(message: str, hints: Sequence[str], exit_code: int) -> MlbuildError:
    """The error for an exit code."""
    return _BY_EXIT_CODE.get(exit_code, MlbuildError)(message, hints, exit_code)
