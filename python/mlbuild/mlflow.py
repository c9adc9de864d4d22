"""MLflow: every run that starts in a container of mlbuild's has tags that say which.

Installed with the package, as a plugin of MLflow's (``mlflow.run_context_provider``): nothing has to
be called. The tags are ``mlbuild.image``, ``mlbuild.digest``, ``mlbuild.run_id`` and, where the run's
record is at hand, ``mlbuild.commit`` and ``mlbuild.lock``.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, cast

from .here import current
from .errors import UsageError

IMAGE = "mlbuild.image"
RUN_ID = "mlbuild.run_id"


class MlbuildRunContext:
    """MLflow's interface for what tags runs (``RunContextProvider``); MLflow asks for no base class."""

    def in_context(self) -> bool:
        """True in a container of mlbuild's."""
        return bool(current())

    def tags(self) -> Dict[str, str]:
        """The tags."""
        here = current()
        tags = {
            IMAGE: here.image,
            "mlbuild.digest": here.digest,
            RUN_ID: here.run_id,
            "mlbuild.commit": here.commit,
            "mlbuild.lock": here.lock,
        }
        return {name: value for name, value in tags.items() if value}


def tagged(mlflow_run_id: str, client: Optional[Any] = None) -> Tuple[str, Optional[str]]:
    """The run id and the pinned image that a run of MLflow's is tagged with.

    :raises UsageError: where it has no such tag.
    """
    if client is None:
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found, unused-ignore] # pyright: ignore

        client = cast(Any, MlflowClient)()
    tags: Dict[str, str] = cast(Any, client).get_run(mlflow_run_id).data.tags
    if RUN_ID not in tags:
        raise UsageError(
            f"MLflow's run {mlflow_run_id} has no tag {RUN_ID}",
            ["it wasn't started in a container of mlbuild's, or without the package mlbuild in it"],
            2,
        )
    return tags[RUN_ID], tags.get(IMAGE)
