"""The image and the run that this process is in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, cast


@dataclass(frozen=True)
class Current:
    """Where this process runs; None for what isn't known."""

    image: Optional[str]
    """The pinned image: ``NAME@sha256:…``."""
    run_id: Optional[str]
    record: Optional[Mapping[str, Any]] = None
    """The run's record, where the project's folder is mounted (Python 3.11 and later)."""

    @property
    def digest(self) -> Optional[str]:
        return self.image.rpartition("@")[2] if self.image and "@" in self.image else None

    @property
    def commit(self) -> Optional[str]:
        """The commit of the run's code."""
        return (self.record or {}).get("git", {}).get("commit")

    @property
    def lock(self) -> Optional[str]:
        """Checksum of the image's entry in the lock."""
        return (self.record or {}).get("lock")

    def __bool__(self) -> bool:
        return self.image is not None or self.run_id is not None


def current() -> Current:
    """What ``mlbuild run``, ``mlbuild submit`` or ``mlbuild env`` told this process.

    Outside of a container of theirs it is empty, and false:

    >>> if current():
    ...     print("in", current().image)
    """
    run_id = os.environ.get("MLBUILD_RUN_ID") or None
    return Current(os.environ.get("MLBUILD_IMAGE") or None, run_id, _record(run_id) if run_id else None)


def _record(run_id: str) -> Optional[Mapping[str, Any]]:
    try:
        import tomllib  # pyright: ignore
    except ImportError:
        return None
    # The id is a file's name, and nothing else.
    if os.path.basename(run_id) != run_id or run_id.startswith("."):
        return None
    folder = os.getcwd()
    while True:
        path = os.path.join(folder, "mlbuild.runs", f"{run_id}.toml")
        try:
            with open(path, "rb") as file:
                return cast(Mapping[str, Any], tomllib.load(file))
        except (OSError, ValueError):
            pass
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
