#!/usr/bin/env python3
"""Derives data/compat/{torch,tensorflow,tensorflow-cpu}.json from package metadata.

Run by hand, where pip and packaging (24 or newer) are installed:

    python3 templates/compatgen/compatgen.py [--check]

The package index is the one that pip is configured for. Only metadata is fetched: the index
pages (files, sizes, Python tags) and the METADATA of one wheel per release and machine, by range
requests where the index doesn't serve it beside the wheel. No wheel is downloaded. `--check` writes nothing and fails where a table would change.

What a table says of a release and a machine (x86_64, aarch64; Linux):
  python        the Python versions that have a wheel
  cuda, cudnn   the bounds on the CUDA runtime and cuDNN wheels that the release requires, as its
                metadata has them; absent where its wheels require none
  bytes         the size of the release's own wheel, for the newest of those Pythons
  cuda-bytes    the size of all the NVIDIA wheels that it requires, at the newest versions that
                the bounds allow when this was run
"""

import argparse
import functools
import io
import json
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from pip._internal.models.index import PyPI

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "compat"
MACHINES = ("x86_64", "aarch64")
# name: (oldest release that is listed, extra that brings CUDA)
PACKAGES = {
    "torch": ("1.7.0", None),
    "tensorflow": ("2.5.0", "and-cuda"),
    "tensorflow-cpu": ("2.5.0", None),
}


@functools.cache
def index_url():
    def configured(key):
        command = [sys.executable, "-m", "pip", "config", "get", key]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    url = configured(":env:.index-url") or configured("global.index-url") or PyPI.simple_url
    return url.rstrip("/") + "/"


def fetch(url, accept="*/*", range=None):
    headers = {"Accept": accept, **({"Range": range} if range else {})}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read()


@functools.cache
def wheels(package):
    """The package's wheels as (version, tags, size, url)."""
    url = urllib.parse.urljoin(index_url(), package + "/")
    page = json.loads(fetch(url, "application/vnd.pypi.simple.v1+json"))
    found = []
    for file in page["files"]:
        if file.get("yanked"):
            continue
        try:
            _, version, _, tags = parse_wheel_filename(file["filename"])
        except (InvalidWheelFilename, InvalidVersion):
            continue
        if version.is_prerelease or version.local:
            continue
        found.append((version, tags, file["size"], urllib.parse.urljoin(url, file["url"])))
    return found


def runs_on(tags, machine):
    platforms = {tag.platform for tag in tags}
    return any(p == "any" or re.fullmatch(rf"(many)?linux.*_{machine}", p) for p in platforms)


def pythons(tags):
    """The Python 3 minor versions of CPython wheels."""
    names = {tag.interpreter for tag in tags if not tag.abi.endswith("t")}
    return {int(m[1]) for n in names if (m := re.fullmatch(r"cp3(\d+)", n))}


class Remote(io.RawIOBase):
    """A file behind a URL, read by ranges: the end of a wheel holds its list of files."""

    def __init__(self, url, size):
        self.url, self.size, self.at = url, size, 0

    def seekable(self):
        return True

    def readable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer):
        end = min(self.at + len(buffer), self.size)
        if end <= self.at:
            return 0
        data = fetch(self.url, range=f"bytes={self.at}-{end - 1}")
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def metadata(url, size):
    """A wheel's METADATA: from beside it where the index has that, else from its inside."""
    try:
        return fetch(url + ".metadata")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    with zipfile.ZipFile(io.BufferedReader(Remote(url, size), 1 << 16)) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        return wheel.read(name)


@functools.cache
def requirements(url, size):
    raw, _ = parse_email(metadata(url, size))
    return [Requirement(line) for line in raw.get("requires_dist", [])]


def applying(url, size, machine, extras, minor):
    environment = {
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
    }
    for requirement in requirements(url, size):
        if requirement.marker is None or any(
            requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def newest(package, specifier, machine):
    fits = [
        wheel
        for wheel in wheels(package)
        if specifier.contains(wheel[0]) and runs_on(wheel[1], machine)
    ]
    return max(fits, key=lambda wheel: wheel[0], default=None)


def nvidia(url, size, machine, extras, minor):
    """Every NVIDIA requirement by name, those of the `cuda-toolkit` package too."""
    found = {}
    for requirement in applying(url, size, machine, extras, minor):
        name = canonicalize_name(requirement.name)
        if name == "cuda-toolkit":
            wheel = newest(name, requirement.specifier, machine)
            if wheel:
                extras = tuple(sorted(requirement.extras))
                found.update(nvidia(wheel[3], wheel[2], machine, extras, minor))
        elif name.startswith("nvidia-"):
            found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def row(package, version, machine, extra):
    mine = [w for w in wheels(package) if w[0] == version and runs_on(w[1], machine)]
    minors = set().union(*(pythons(tags) for _, tags, *_ in mine))
    if not minors:
        return None
    top = max(minors)
    _, _, size, url = next(w for w in mine if top in pythons(w[1]))
    result = {"python": [f"3.{m}" for m in sorted(minors)], "bytes": size}
    needs = nvidia(url, size, machine, (extra,) if extra else (), top)
    total = 0
    for name, specifier in sorted(needs.items()):
        bounds = str(specifier)
        if re.fullmatch(r"nvidia-cuda-runtime(-cu\d+)?", name):
            result["cuda"] = bounds
        elif re.fullmatch(r"nvidia-cudnn-cu\d+", name):
            result["cudnn"] = bounds
        wheel = newest(name, specifier, machine)
        total += wheel[2] if wheel else 0
    if "cuda" in result:
        result["cuda-bytes"] = total
    return result


def table(package, oldest, extra):
    versions = sorted({w[0] for w in wheels(package) if w[0] >= Version(oldest)})
    releases = {}
    for version in versions:
        rows = {machine: row(package, version, machine, extra) for machine in MACHINES}
        rows = {machine: r for machine, r in rows.items() if r}
        if rows:
            releases[str(version)] = rows
        print(package, version, file=sys.stderr)
    return {"package": package, "extra": extra, "releases": releases}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    arguments = parser.parse_args()
    changed = []
    for package, (oldest, extra) in PACKAGES.items():
        text = json.dumps(table(package, oldest, extra), indent=1) + "\n"
        path = DATA / f"{package}.json"
        if path.exists() and path.read_text() == text:
            continue
        changed.append(path.name)
        if not arguments.check:
            path.write_text(text)
    print("changed:", ", ".join(changed) or "nothing", file=sys.stderr)
    return 1 if arguments.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
