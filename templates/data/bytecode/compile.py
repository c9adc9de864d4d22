"""Compiles the modules of wheels. The base image's own Python runs it, in a step of a builder.

usage: compile.py QUESTIONS ANSWERS ENVIRONMENT

QUESTIONS/N.sources has the modules of a wheel: of each the length of its path and of its content (32
bits each, the lowest byte first), the path below ENVIRONMENT, and the content. ANSWERS/N.bytecode gets of
each that could be compiled its number, the length of its bytecode, and that.

Each wheel has a fresh process: what was compiled before would show in the bytes.
"""

import importlib.util
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def unpack(file, top):
    """Writes the modules below a folder; gives their paths."""
    paths = []
    while True:
        start = file.read(8)
        if not start:
            return paths
        name, size = struct.unpack("<II", start)
        path = os.path.join(top, file.read(name).decode("utf-8"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as module:
            module.write(file.read(size))
        paths.append(path)


def compiled(paths, listed):
    """Compiles modules as a locked build's compileall does, but for that it is given their names."""
    with open(listed, "w", encoding="utf-8") as names:
        names.write("".join(path + "\n" for path in paths))
    words = [sys.executable, "-s", "-S", "-X", "utf8", "-m", "compileall", "-qq", "-j1"]
    words += ["--invalidation-mode", "unchecked-hash", "-i", listed]
    # What can't be compiled (templates, code of other versions) stays without.
    subprocess.run(
        words,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def answer(paths, out):
    with open(out, "wb") as file:
        for number, path in enumerate(paths):
            try:
                with open(importlib.util.cache_from_source(path), "rb") as cache:
                    content = cache.read()
            except OSError:
                continue
            file.write(struct.pack("<II", number, len(content)) + content)


def main(questions, answers, environment):
    os.makedirs(answers, exist_ok=True)
    seen, at_once, later = set(), [], []
    for name in sorted(os.listdir(questions)):
        stem, ending = os.path.splitext(name)
        if ending != ".sources":
            continue
        with open(os.path.join(questions, name), "rb") as file:
            paths = unpack(file, environment)
        # Two processes must not write one file at once.
        (later if seen.intersection(paths) else at_once).append((stem, name, paths))
        seen.update(paths)

    def work(one):
        stem, name, paths = one
        if paths:
            compiled(paths, os.path.join(answers, stem + ".list"))
        answer(paths, os.path.join(answers, stem + ".bytecode"))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(work, at_once))
    for one in later:
        with open(os.path.join(questions, one[1]), "rb") as file:
            unpack(file, environment)
        work(one)


if __name__ == "__main__":
    main(*sys.argv[1:])
