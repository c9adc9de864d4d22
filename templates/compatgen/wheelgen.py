#!/usr/bin/env python3
"""Derives data/compat/{pythons,brings}.json from the package index.

Run by hand, as compatgen.py is:

    python3 templates/compatgen/wheelgen.py [--check]

`brings.json`: by framework, packages whose newest release requires it whatever extras are chosen.

`pythons.json`: for packages with compiled code that projects pin: which Python versions each release has wheels for, on
Linux. Only the index's pages are fetched: file names, and the Python versions that a file is for
(`requires-python`). A wheel of the stable ABI counts for every newer Python, and one without compiled code
for every Python that it is for. Releases without any wheel for Linux aren't listed.

The table has, by package and by Python versions (`3.8 3.9`), the releases with wheels for just these.
"""

import argparse
import json
import re
import sys
import urllib.parse

import compatgen
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion

# Python versions that a base has, and those that are said of releases that have none of them.
MINORS = range(5, 15)
PACKAGES = (
    "aiohttp av bokeh cryptography cython dm-tree gensim grpcio h5py jaxlib lightgbm llvmlite lxml matplotlib "
    "mediapipe numba numpy onnx onnxruntime onnxruntime-gpu open3d opencv-contrib-python opencv-python "
    "opencv-python-headless paddlepaddle-gpu pandas pillow protobuf psutil pyarrow pydantic-core pyyaml pyzmq "
    "ray regex safetensors scikit-image scikit-learn scipy sentencepiece shapely spacy statsmodels tensorflow "
    "tensorflow-cpu tensorflow-gpu tensorflow-text tensorstore tiktoken tokenizers torch torchaudio torchdata "
    "torchtext torchvision triton xformers xgboost"
).split()
# Looked at for `brings.json`.
BRINGING = (
    "accelerate audiocraft auto-gptq autoawq bertopic bitsandbytes botorch colossalai compressed-tensors "
    "coqui-tts deepface deepspeed descript-audio-codec easyocr encodec facenet-pytorch fairscale fairseq "
    "fastai flair flashinfer-python fvcore gpytorch invisible-watermark k-diffusion k2 kornia liger-kernel "
    "lightning lightning-fabric lmdeploy lpips monai nerfstudio opacus open-clip-torch openai-whisper peft "
    "pyannote-audio pyro-ppl pytorch-fid pytorch-ignite pytorch-lightning pytorch-metric-learning "
    "resize-right segmentation-models-pytorch sentence-transformers sglang silero-vad skorch speechbrain "
    "stable-baselines3 stanza tensordict tensorflow-serving-api tensorflow-text tf-keras tfx thop timm "
    "torch-fidelity torch-geometric torchaudio torchdata torchdiffeq torchmetrics torchrl torchsde "
    "torchvision trl ultralytics unsloth vllm whisperx x-transformers xformers"
).split()
FRAMEWORKS = ("torch", "tensorflow")


def brought(package):
    """The frameworks that a package's newest wheel requires."""
    wheels = [w for w in compatgen.wheels(package) if compatgen.runs_on(w[1], "x86_64")]
    if not wheels:
        return set()
    _, _, size, url = max(wheels, key=lambda wheel: wheel[0])
    needs = compatgen.applying(url, size, "x86_64", (), 11)
    names = {compatgen.canonicalize_name(need.name) for need in needs}
    print(package, sorted(names & set(FRAMEWORKS)), file=sys.stderr)
    return names & set(FRAMEWORKS)


def minors(tags, requires):
    """The Python 3 minor versions that a wheel installs on."""
    found = set()
    for tag in tags:
        if tag.abi.endswith("t") and re.fullmatch(r"cp3\d+t", tag.abi):
            continue
        match = re.fullmatch(r"(cp|py)3(\d*)", tag.interpreter)
        if not match:
            continue
        if tag.abi in ("abi3", "none"):
            found |= {m for m in MINORS if m >= int(match[2] or 0)}
        else:
            found.add(int(match[2]))
    try:
        allowed = SpecifierSet(requires or "")
    except InvalidSpecifier:
        return found
    return {m for m in found if any(allowed.contains(f"3.{m}.{patch}") for patch in (0, 30))}


def table(package):
    url = urllib.parse.urljoin(compatgen.index_url(), package + "/")
    page = json.loads(compatgen.fetch(url, "application/vnd.pypi.simple.v1+json"))
    releases = {}
    for file in page["files"]:
        if file.get("yanked"):
            continue
        try:
            _, version, _, tags = parse_wheel_filename(file["filename"])
        except (InvalidWheelFilename, InvalidVersion):
            continue
        if version.is_prerelease or version.local:
            continue
        if any(compatgen.runs_on(tags, machine) for machine in compatgen.MACHINES):
            found = minors(tags, file.get("requires-python"))
            releases.setdefault(version, set()).update(found & set(MINORS))
    by_pythons = {}
    for version in sorted(releases):
        names = " ".join(f"3.{m}" for m in sorted(releases[version]))
        if names:
            by_pythons.setdefault(names, []).append(str(version))
    print(package, len(releases), file=sys.stderr)
    return by_pythons


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    arguments = parser.parse_args()
    packages = {package: table(package) for package in PACKAGES}
    lines = [f" {json.dumps(package)}: {json.dumps(rows)}" for package, rows in packages.items()]
    found = {package: brought(package) for package in BRINGING}
    brings = {f: [package for package in BRINGING if f in found[package]] for f in FRAMEWORKS}
    texts = {
        "pythons.json": "{\n" + ",\n".join(lines) + "\n}\n",
        "brings.json": json.dumps(brings, indent=1) + "\n",
    }
    changed = []
    for name, text in texts.items():
        path = compatgen.DATA / name
        if path.exists() and path.read_text() == text:
            continue
        changed.append(name)
        if not arguments.check:
            path.write_text(text)
    print("changed:", ", ".join(changed) or "nothing", file=sys.stderr)
    return 1 if arguments.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
