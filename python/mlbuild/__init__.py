"""Make, run and restore ML container images, pinned by digest.

Everything here calls the ``mlbuild`` program, which comes in the same wheel, and reads its JSON.

>>> from mlbuild import Image
>>> image = Image.from_project(".").gpu().apt("ffmpeg")
>>> image.command("ghcr.io/acme/cracks:v1", push=True)[1:]
['image', '.', '--gpu=cuda', '--apt=ffmpeg', '--tag=ghcr.io/acme/cracks:v1', '--push']

``image.build(...)`` runs that command, and returns what was built, by digest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calls import Event, program, version
    from .errors import (
        BuildError,
        DifferenceError,
        EnvironmentError,
        MlbuildError,
        ProgramNotFound,
        RunFailed,
        UsageError,
    )
    from .here import Current, current
    from .images import Built, Image, Locked
    from .records import Restored, Run, RunRecord, Runs, restore, run, runs

# Where each name is: loaded when it is first used, so that importing the package costs nothing.
_PLACES = {
    "calls": ["Event", "program", "version"],
    "errors": [
        "BuildError",
        "DifferenceError",
        "EnvironmentError",
        "MlbuildError",
        "ProgramNotFound",
        "RunFailed",
        "UsageError",
    ],
    "here": ["Current", "current"],
    "images": ["Built", "Image", "Locked"],
    "records": ["Restored", "Run", "RunRecord", "Runs", "restore", "run", "runs"],
}

__all__ = [
    "BuildError",
    "Built",
    "Current",
    "DifferenceError",
    "EnvironmentError",
    "Event",
    "Image",
    "Locked",
    "MlbuildError",
    "ProgramNotFound",
    "Restored",
    "Run",
    "RunFailed",
    "RunRecord",
    "Runs",
    "UsageError",
    "current",
    "program",
    "restore",
    "run",
    "runs",
    "version",
]


def __getattr__(name: str) -> object:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> "list[str]":
    return __all__
