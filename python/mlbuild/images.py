"""An image, described and made."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, Union

from . import calls
from .calls import Event
from .progress import shown
from .records import Run, run

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Image:
    """What an image is to be. Every method returns another image, so that one may be built upon:

    >>> base = Image.from_project("cracks").python("3.12")
    >>> base.gpu("off").flags
    ('--python=3.12', '--gpu=off')
    >>> base.flags
    ('--python=3.12',)

    What isn't said is what ``mlbuild.toml`` says, or what the folder holds.
    """

    context: str = "."
    flags: Tuple[str, ...] = ()
    # Values that don't stand on the command line, where everybody on the machine could read them.
    _environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def from_project(cls, folder: Union[str, "os.PathLike[str]"] = ".") -> "Image":
        """An image of the project in a folder: its packages and its code."""
        return cls(os.fspath(folder))

    @classmethod
    def from_dockerfile(
        cls, file: Union[str, "os.PathLike[str]"] = "Dockerfile", context: Union[str, "os.PathLike[str]"] = "."
    ) -> "Image":
        """An image of a Dockerfile of one's own, as it is; its path is relative to the current folder."""
        return cls(os.fspath(context), (f"--file={os.fspath(file)}",))

    def option(self, name: str, value: Optional[str] = None) -> "Image":
        """Any other flag of ``mlbuild image`` (docs/cli.md).

        >>> Image().option("--no-code").option("--label", "team=vision").flags
        ('--no-code', '--label=team=vision')
        """
        if not name.startswith("--"):
            raise ValueError(f"not a long flag: {name}")
        return self._and(name if value is None else f"{name}={value}")

    def variant(self, name: str) -> "Image":
        """A variant of it, ``[variant.NAME]`` of ``mlbuild.toml``."""
        return self._and(f"--variant={name}")

    def base(self, reference: str) -> "Image":
        """The image to start from, such as ``ubuntu:24.04``."""
        return self._and(f"--base={reference}")

    def template(self, name: str) -> "Image":
        """A built-in template (``python``, ``pytorch``, ``tensorflow``, ``cuda``), or a file or folder."""
        return self._and(f"--template={name}")

    def gpu(self, kind: str = "cuda") -> "Image":
        """For a GPU: ``cuda``, ``rocm``, ``auto`` (what this machine has) or ``off``."""
        return self._and(f"--gpu={kind}")

    def cuda(self, version: str) -> "Image":
        """For a CUDA version, such as ``12.8``."""
        return self._and(f"--cuda={version}")

    def python(self, version: str) -> "Image":
        """With a Python version, such as ``3.12``."""
        return self._and(f"--python={version}")

    def pip(self, *requirements: str) -> "Image":
        """With Python packages, each as a line of a requirements file."""
        return self._and(*(f"--package={one}" for one in requirements))

    def requirements(self, *files: Union[str, "os.PathLike[str]"]) -> "Image":
        """With the packages of requirements files, relative to the project."""
        return self._and(*(f"--requirements={os.fspath(one)}" for one in files))

    def apt(self, *packages: str) -> "Image":
        """With Debian packages."""
        return self._and(*(f"--apt={one}" for one in packages))

    def run_commands(self, *commands: str) -> "Image":
        """With commands that root runs after the packages, while the image is made."""
        return self._and(*(f"--run={one}" for one in commands))

    def env(self, **variables: str) -> "Image":
        """With variables in its environment. They are part of the image: no secrets."""
        return self._and(*(f"--env={name}={value}" for name, value in variables.items()))

    def path(self, *folders: str) -> "Image":
        """With folders before PATH."""
        return self._and(*(f"--path={one}" for one in folders))

    def port(self, *ports: Union[int, str]) -> "Image":
        """With ports that its services listen on."""
        return self._and(*(f"--port={one}" for one in ports))

    def gui(self) -> "Image":
        """With what windows of OpenCV need."""
        return self._and("--gui")

    def workdir(self, folder: str) -> "Image":
        """With a working directory, where the code goes."""
        return self._and(f"--workdir={folder}")

    def user(self, name: Optional[str] = None, uid: Optional[int] = None, gid: Optional[int] = None) -> "Image":
        """With a user; without arguments, the one that calls.

        >>> Image().user("ann", 1000).flags
        ('--user=ann', '--uid=1000')
        """
        if name is None and uid is None and gid is None:
            uid, gid = os.getuid(), os.getgid()
        given = [("user", name), ("uid", uid), ("gid", gid)]
        return self._and(*(f"--{flag}={value}" for flag, value in given if value is not None))

    def platform(self, *platforms: str) -> "Image":
        """For platforms, such as ``linux/arm64``."""
        return self._and(*(f"--platform={one}" for one in platforms))

    def secret(self, id: str, value: Optional[str] = None, *, env: Optional[str] = None, src: Optional[str] = None) -> "Image":
        """With a secret for RUN steps: a value, a variable's, or a file's. It stays out of the image.

        A value reaches the program by a variable of its own, not by its command line.
        """
        given = [one for one in (value, env, src) if one is not None]
        if len(given) != 1:
            raise ValueError("a secret has one of value, env and src")
        if src is not None:
            return self._and(f"--secret=id={id},src={src}")
        if env is not None:
            return self._and(f"--secret=id={id},env={env}")
        assert value is not None
        name = f"MLBUILD_PYTHON_SECRET_{len(self._environment)}"
        made = self._and(f"--secret=id={id},env={name}")
        return replace(made, _environment={**self._environment, name: value})

    def command(self, *tags: str, verb: str = "image", push: bool = False, load: bool = False) -> List[str]:
        """The command line that :meth:`build` runs."""
        flags = [verb, self.context, *self.flags, *(f"--tag={tag}" for tag in tags)]
        flags += [flag for flag, said in (("--push", push), ("--load", load)) if said]
        return [calls.program(), *flags]

    def build(
        self,
        *tags: str,
        push: bool = False,
        load: bool = False,
        lock: bool = True,
        locked: bool = False,
        trust: bool = False,
        run_id: Optional[str] = None,
        on_event: Optional[OnEvent] = None,
        progress: Optional[bool] = None,
    ) -> "Built":
        """Builds it, or finds that nothing changed since it was built.

        ``tags`` are its names; ``push`` sends it to their registries, ``load`` into Docker. ``lock=False``
        neither reads nor writes ``mlbuild.lock``; ``locked`` fails where a pin would have to change.
        ``trust`` lets the project's files reach out of its folder as they ask. ``on_event`` is called with
        what the program tells; ``progress`` draws it (where it isn't said: on a terminal and in a notebook).

        :raises MlbuildError: and which, by what went wrong.
        """
        arguments = self.command(*tags, push=push, load=load)[1:]
        switches = [("--no-lock", not lock), ("--locked", locked), ("--trust", trust)]
        arguments += [flag for flag, said in switches if said]
        if run_id is not None:
            arguments.append(f"--run-id={run_id}")
        return Built(**_known(self._answer(arguments, on_event, progress), Built))

    def lock(self, *tags: str, on_event: Optional[OnEvent] = None, progress: Optional[bool] = None) -> "Locked":
        """Pins what it is made of in ``mlbuild.lock``, without making it.

        :raises MlbuildError: and which, by what went wrong.
        """
        answer = self._answer(self.command(*tags, verb="lock")[1:], on_event, progress)
        return Locked(**_known(answer, Locked))

    def dockerfile(self) -> str:
        """The Dockerfile that it is built from.

        :raises MlbuildError: and which, by what went wrong.
        """
        return calls.output(
            ["image", self.context, *self.flags, "--print=dockerfile", "--progress=json"], env=self._environment
        )

    def _answer(self, arguments: Sequence[str], on_event: Optional[OnEvent], progress: Optional[bool]) -> Any:
        with shown(progress) as bar:

            def told(event: Event) -> None:
                bar(event)
                if on_event is not None:
                    on_event(event)

            return calls.answer(
                [*arguments, "--format=json", "--progress=json"], env=self._environment, on_event=told
            )

    def _and(self, *flags: str) -> "Image":
        return replace(self, flags=(*self.flags, *flags))


@dataclass(frozen=True)
class Built:
    """An image that was built."""

    action: str
    """``built``, or ``unchanged``: nothing did since it was."""
    digest: str
    """Of its manifest or index: ``sha256:…``."""
    image: Optional[str] = None
    """Its first name."""
    pinned: Optional[str] = None
    """Name and digest, as its registry confirmed them: ``NAME@sha256:…``. None where it wasn't pushed."""
    image_id: Optional[str] = None
    """Its id in Docker, where it was loaded."""
    tags: Sequence[str] = ()
    """All its names."""
    pushed: bool = False
    lock: Optional[str] = None
    """The lock's path."""
    run_id: Optional[str] = None
    """The run that the image is bound to."""

    def run(self, *command: str, **options: Any) -> Run:
        """Runs a command in it, as :func:`mlbuild.run`."""
        return run(self.pinned or self.image or self.digest, *command, **options)

    def __str__(self) -> str:
        return self.pinned or self.image or self.digest

    def _repr_html_(self) -> str:
        rows = [("image", self.image), ("digest", self.digest), ("run", self.run_id), ("lock", self.lock)]
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows if value)
        return f"<table><caption>mlbuild: {html.escape(self.action)}</caption>{cells}</table>"


@dataclass(frozen=True)
class Locked:
    """What was pinned."""

    lock: str
    """The lock's path."""
    platforms: Mapping[str, Mapping[str, int]]
    """How many Debian (``apt``) and Python (``python``) packages for each platform, and their ``bytes``."""
    image: Optional[str] = None
    epoch: Optional[int] = None
    """Seconds since 1970-01-01 that the times in the image are held to."""


def _known(answer: Mapping[str, Any], of: Any) -> "dict[str, Any]":
    """The fields that a class has: a later program may say more."""
    return {name: value for name, value in answer.items() if name in of.__dataclass_fields__}
