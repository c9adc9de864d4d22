"""What a build does, in one line on a terminal or in a notebook."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Callable, Generator, Optional

from .calls import Event

_WIDTH = 100


@contextlib.contextmanager
def shown(wanted: Optional[bool]) -> Generator[Callable[[Event], None], None, None]:
    """A function that draws events. ``None``: on a terminal and in a notebook."""
    notebook = _notebook()
    if wanted is None:
        wanted = notebook is not None or sys.stderr.isatty()
    if not wanted:
        yield lambda event: None
        return
    line = _Line(notebook)
    try:
        yield line.event
    finally:
        line.close()


def _notebook() -> Any:
    """IPython's ``display`` where a notebook is the caller."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    shell = ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore] # pyright: ignore

    return display  # pyright: ignore[reportUnknownVariableType]


class _Line:
    def __init__(self, display: Any) -> None:
        self.handle: Any = None
        self.names: "dict[int, str]" = {}
        self.display = display

    def event(self, event: Event) -> None:
        kind = event["event"]
        if kind == "step":
            number: int = event["number"]
            if event["step"] == "started":
                self.names[number] = event["name"]
            name = self.names.get(number, "")
            self.say(f"{number}: {name}")
        elif kind in ("note", "warning", "text"):
            self.keep(("warning: " if kind == "warning" else "") + event["text"])

    def say(self, text: str) -> None:
        """Replaces the line."""
        text = text[:_WIDTH]
        if self.display is None:
            sys.stderr.write(f"\r\x1b[K{text}" if sys.stderr.isatty() else f"{text}\n")
            sys.stderr.flush()
            return
        data = {"text/plain": text}
        if self.handle is None:
            self.handle = self.display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)

    def keep(self, text: str) -> None:
        """Writes a line that stays."""
        if self.display is None and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        if self.display is None:
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
        elif self.handle is not None:
            self.handle.update({"text/plain": ""}, raw=True)
