"""Resolves Python packages to files and downloads them; see resolve.sh, which starts it.

Runs on the base's own Python, from 3.8 on, with nothing but pip beside it.
"""

import glob
import json
import os
import platform
import re
import subprocess
import sys
from urllib.parse import unquote, urlsplit

OUT = "/mlbuild-out"
TORCH = "https://download.pytorch.org/whl/"
NEEDS = "/tmp/mlbuild-needs"
AS_OF = os.environ["AS_OF"]
FILES = os.environ["FILES"]
LIBRARIES = "/tmp/mlbuild-libraries"


def stop(text):
    sys.exit("mlbuild: " + text)


def run(*words, **more):
    done = subprocess.run(words, **more)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done


def lines(name):
    path = "/mlbuild/" + name
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [line.rstrip("\n") for line in file if line.strip()]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pip(*words):
    run(sys.executable, "-m", "pip", *words)


def new_pip():
    """`pip install --report` came with 22.2, and `--uploaded-prior-to` with 26.0."""
    import pip as old

    needs_dates = AS_OF and os.environ["RESOLVER"] == "pip"
    if tuple(int(n) for n in re.findall(r"\d+", old.__version__)[:2]) < ((26, 0) if needs_dates else (22, 3)):
        pip("install", "-q", "--target", "/tmp/pip", "pip")
        os.environ["PYTHONPATH"] = "/tmp/pip"
        sys.path.insert(0, "/tmp/pip")
        sys.modules.pop("pip")


def pip_beside(folder, words):
    """pip, whose builds see a folder's packages, and which itself doesn't see them: it would take them for
    installed."""
    program = "import sys; sys.path.remove(%r); from pip._internal.cli.main import main; sys.exit(main())" % folder
    paths = [folder, os.environ.get("PYTHONPATH")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path))
    return [sys.executable, "-c", program, *words, "--use-pep517", "--no-build-isolation"], environment


def pip_without_builds(words):
    """pip asks each source archive that it downloads for its metadata, which nobody needs here: setuptools is
    one that says what stands in PKG-INFO."""
    folder = "/tmp/mlbuild-names"
    os.makedirs(folder + "/setuptools", exist_ok=True)
    open(folder + "/setuptools/__init__.py", "w").close()
    with open(folder + "/setuptools/build_meta.py", "w") as file:
        file.write(NAMES)
    return pip_beside(folder, words)


NAMES = '''
import email, os, shutil, sys

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    with open("PKG-INFO", encoding="utf-8", errors="replace") as file:
        package = email.message_from_file(file)
    called = "%s-%s.dist-info" % (package["Name"].replace("-", "_"), package["Version"])
    os.mkdir(os.path.join(folder, called))
    shutil.copy("PKG-INFO", os.path.join(folder, called, "METADATA"))
    return called

__legacy__ = sys.modules[__name__]
'''


def download(folder, requirements, *flags):
    """Files for requirement lines, each with its hash."""
    is_open = lambda line: canonical(re.match(r"[\w.-]+", line).group()) in lines("open")
    words = ["download", "-q", "--no-deps", "-d", folder, *flags, "-r", "/tmp/download.txt"]
    for these in [[r for r in requirements if not is_open(r)], [r for r in requirements if is_open(r)]]:
        if not these:
            continue
        with open("/tmp/download.txt", "w") as file:
            file.write("\n".join(these) + "\n")
        if is_open(these[0]):
            program, environment = pip_without_builds(words)
            run(*program, env=environment)
        else:
            pip(*words)


def download_found(folder, found):
    download(folder, ["%(name)s @ %(url)s#sha256=%(sha256)s" % f for f in found])


def earlier_answers():
    """Earlier answers of this base whose wheels needn't be given back: whether no library was lacking, and the
    wheels' hashes."""
    answers = []
    for line in lines("known"):
        libraries, *wheels = line.split()
        answers.append((libraries == "all", set(wheels)))
    return answers


def is_looked_at(answers, found):
    """Whether libraries were looked for before: all wheels of an earlier answer are here again, and the others have
    no compiled files. Which library one wheel lacks another may bring, so that none may have gone."""
    wheels = {f["sha256"]: f["file"] for f in found if f["kind"] == "wheel"}
    new = lambda before: [OUT + "/wheels/" + wheels[sha256] for sha256 in wheels if sha256 not in before]
    return any(
        libraries and before.issubset(wheels) and all(os.path.exists(path) and not has_code(path) for path in new(before))
        for libraries, before in answers
    )


def is_code(name):
    return ".so" in name.rsplit("/", 1)[-1] and not name.endswith("/")


def has_code(path):
    import zipfile

    with zipfile.ZipFile(path) as wheel:
        return any(is_code(name) for name in wheel.namelist())


def keep_uv(known):
    """The wheel of uv, an input of a build: given back unless whoever asks has it."""
    import hashlib
    import shutil

    path = uv_wheel()
    with open(path, "rb") as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    if sha256 not in known:
        shutil.copy(path, OUT + "/uv/")
    return {"file": os.path.basename(path), "sha256": sha256}


def uv_wheel():
    """The wheel of uv, as it came with the question or was downloaded."""
    return next(iter(glob.glob("/mlbuild/uv/*.whl") + glob.glob("/tmp/uv/*.whl")), None)


def uv_program():
    """uv from its wheel, which is an input of the build as well."""
    target = "/tmp/uv"
    import zipfile

    zipfile.ZipFile(uv_wheel()).extractall(target)
    program = glob.glob(target + "/*.data/scripts/uv")[0]
    os.chmod(program, 0o755)
    return program


def load_toml(path):
    try:
        import tomllib
    except ImportError:
        from pip._vendor import tomli as tomllib
    with open(path, "rb") as file:
        return tomllib.load(file)


def file_of(url, sha256, name, version):
    parts = urlsplit(url)
    file = unquote(parts.path.rsplit("/", 1)[-1])
    kind = "wheel" if file.endswith(".whl") else "source"
    return {"kind": kind, "name": canonical(name), "version": version, "file": file, "url": url, "sha256": sha256}


def by_group(marker, groups):
    """A marker of PEP 751, of which older readers know neither extras nor groups: no extras, these groups."""

    def answer(match):
        name, negated, of = match.group(1).strip("'\""), match.group(2), match.group(3)
        found = of == "dependency_groups" and name in groups
        return "python_version %s '0'" % (">" if found != bool(negated) else "<")

    return re.sub(r"""('[^']*'|"[^"]*")\s+(not\s+)?in\s+(extras|dependency_groups)\b""", answer, marker)


def from_pylock(path):
    from pip._vendor.packaging import markers, specifiers, tags, utils

    order = {tag: at for at, tag in reversed(list(enumerate(tags.sys_tags())))}

    def rank(wheel):
        file = unquote(urlsplit(wheel.get("url") or "").path.rsplit("/", 1)[-1])
        try:
            supported = utils.parse_wheel_filename(wheel.get("name") or file)[3]
        except Exception:
            return None
        ranks = [order[tag] for tag in supported if tag in order]
        return min(ranks) if ranks else None

    lock = load_toml(path)
    if lock.get("lock-version", "1").split(".")[0] != "1":
        stop("this pylock.toml has lock-version %s, and mlbuild reads 1" % lock["lock-version"])
    version = platform.python_version()
    if not specifiers.SpecifierSet(lock.get("requires-python", "")).contains(version, prereleases=True):
        stop("the project's lock is for Python %s, and this base has %s: name another base" % (lock["requires-python"], version))
    for package in lock.get("packages", []):
        name, version = package["name"], package.get("version", "")
        if package.get("marker"):
            marker = by_group(package["marker"], lock.get("default-groups", []))
            if not markers.Marker(marker).evaluate({"extra": ""}):
                continue
        if "directory" in package and os.environ["PROJECT"]:
            continue  # A member of the workspace: it comes with the code.
        if "vcs" in package or "directory" in package:
            stop("%s comes from a repository or a folder: only released files can be pinned; name a version of it" % name)
        wheels = [(rank(wheel), at, wheel) for at, wheel in enumerate(package.get("wheels", []))]
        wheels = sorted((r, at, wheel) for r, at, wheel in wheels if r is not None)
        chosen = wheels[0][2] if wheels else package.get("sdist") or package.get("archive")
        if not chosen:
            stop("%s %s has no file for this Python" % (name, version))
        if not chosen.get("url") and chosen.get("path"):
            chosen["url"] = "file://" + os.path.abspath(os.path.join("/tmp", chosen["path"]))
        if not chosen.get("url"):
            stop("%s %s names no address: lock the project again" % (name, version))
        if "sha256" not in chosen.get("hashes", {}):
            stop("%s %s has no sha256: lock the project again" % (name, version))
        yield file_of(chosen["url"], chosen["hashes"]["sha256"], name, version)


def from_report(path):
    with open(path) as file:
        report = json.load(file)
    for package in report["install"]:
        info, meta = package["download_info"], package["metadata"]
        if "archive_info" not in info:
            stop("%s comes from a repository or a folder: only released files can be pinned; name a version of it" % meta["name"])
        archive = info["archive_info"]
        sha256 = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").partition("sha256=")[2]
        yield file_of(info["url"], sha256, meta["name"], meta["version"])


def compiled(uv, requirements, flags=(), python=sys.executable):
    with open("/tmp/requirements.in", "w") as file:
        file.write("\n".join(requirements) + "\n")
    if AS_OF:
        flags = ["--exclude-newer", AS_OF, *flags]
    if os.environ.get("INDEX_STRATEGY"):
        flags = ["--index-strategy", os.environ["INDEX_STRATEGY"], *flags]
    os.chdir(FILES)
    run(uv, "pip", "compile", "-q", "--no-header", "--format", "pylock.toml", "--python", python,
        "-o", "/tmp/pylock.toml", *flags, "/tmp/requirements.in", stdout=subprocess.DEVNULL)
    return list(from_pylock("/tmp/pylock.toml"))


def lay_out_needs(uv):
    """What builds import and don't declare (`open` names their packages), where their metadata is made: in an
    environment of its own, since what is there already no resolver asks for. Where packages stay in uv's cache
    they are links to it: PyTorch is large."""
    if not lines("open"):
        return
    options = re.compile(r"\s*(-i|-f|--pre|--no-index|--(extra-)?index-url|--find-links|--trusted-host)([ =]|$)")
    words = list(lines("open_needs"))
    for path in sorted(glob.glob(FILES + "/**/*", recursive=True)):
        if path.endswith((".txt", ".in")):
            with open(path, encoding="utf-8-sig", errors="ignore") as file:
                words += [line.strip() for line in file if options.match(line)]
    words += [line for line in lines("packages") if options.match(line)]
    with open("/tmp/needs.in", "w") as file:
        file.write("\n".join(words) + "\n")
    settings = os.environ
    seen = ["--system-site-packages"] if settings["ENVIRONMENT"] == "base" else []
    run(uv, "venv", "-q", "--no-project", "--python", sys.executable, *seen, NEEDS)
    flags = ["--exclude-newer", AS_OF] if AS_OF else []
    if settings.get("INDEX_STRATEGY"):
        flags += ["--index-strategy", settings["INDEX_STRATEGY"]]
    if settings["TORCH_BACKEND"]:
        flags += ["--torch-backend", settings["TORCH_BACKEND"]]
    os.chdir(FILES)
    run(uv, "pip", "install", "-q", "--link-mode", "symlink", "--python", NEEDS + "/bin/python", *flags, "-r", "/tmp/needs.in")


def resolve(uv):
    files = ["-r %s/%s" % (FILES, name) for name in lines("requirements")]
    packages = lines("packages")
    if lines("constraints") and (files or packages):
        packages.append("-c /mlbuild/constraints")
    settings = os.environ
    if settings["PROJECT"]:
        flags = [word for name in lines("extras") for word in ("--extra", name)]
        flags += [word for name in lines("groups") for word in ("--group", name)]
        run(uv, "export", "-q", "--frozen", "--no-emit-workspace", "--no-default-groups", "--no-header",
            "--format", "pylock.toml", "-o", "/tmp/pylock.toml", *flags,
            "--project", os.path.join(FILES, settings["PROJECT"]), stdout=subprocess.DEVNULL)
        return list(from_pylock("/tmp/pylock.toml"))
    if settings["PYLOCK"]:
        return list(from_pylock(os.path.join(FILES, settings["PYLOCK"])))
    if not files and not packages:
        return []
    lay_out_needs(uv)
    if settings["RESOLVER"] == "uv":
        backend = settings["TORCH_BACKEND"]
        flags = ["--torch-backend", backend] if backend else []
        for name in lines("open"):
            flags += ["--no-build-isolation-package", name]
        # uv keeps to the versions of an answer that is there already, where it can.
        if os.path.exists("/mlbuild/like"):
            import shutil

            shutil.copy("/mlbuild/like", "/tmp/pylock.toml")
        return compiled(uv, files + packages, flags, NEEDS + "/bin/python" if lines("open") else sys.executable)
    with open("/tmp/requirements.in", "w") as file:
        file.write("\n".join(files + packages) + "\n")
    flags = ["--uploaded-prior-to", AS_OF] if AS_OF else []
    os.chdir(FILES)
    words = ["install", "-q", "--dry-run", "--report", "/tmp/report.json", *flags, "-r", "/tmp/requirements.in"]
    if lines("open"):
        words, environment = pip_beside(glob.glob(NEEDS + "/lib/python*/site-packages")[0], words)
        run(*words, env=environment)
    else:
        pip(*words)
    return list(from_report("/tmp/report.json"))


def needs_of(path):
    """What a source archive says it needs to be built."""
    import tarfile
    import zipfile

    text = None
    if path.endswith(".zip"):
        archive = zipfile.ZipFile(path)
        for name in archive.namelist():
            if re.fullmatch(r"[^/]+/pyproject\.toml", name):
                text = archive.read(name)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if re.fullmatch(r"(\./)?[^/]+/pyproject\.toml", member.name):
                    text = archive.extractfile(member).read()
    needs = ["setuptools", "wheel"]
    if text is not None:
        with open("/tmp/pyproject.toml", "wb") as file:
            file.write(text)
        needs += load_toml("/tmp/pyproject.toml").get("build-system", {}).get("requires", [])
    return needs


def lay_out_libraries(wheels):
    """The compiled files of wheels, where they would be installed, for resolve.sh to look at."""
    import zipfile

    for path in wheels:
        # Large, and looked for by others alone: their names are enough.
        by_name = os.path.basename(path).startswith("nvidia_")
        with zipfile.ZipFile(path) as wheel:
            for entry in wheel.infolist():
                if not is_code(entry.filename):
                    continue
                if not by_name:
                    wheel.extract(entry, LIBRARIES)
                    continue
                os.makedirs(LIBRARIES + "/nvidia", exist_ok=True)
                open(LIBRARIES + "/nvidia/" + os.path.basename(entry.filename), "w").close()


def main():
    if os.path.exists("/mlbuild/python.pins"):
        fetch()
        return
    new_pip()
    import pip as used

    with open(OUT + "/facts", "a") as file:
        file.write("python\t%s\npip\t%s\n" % (platform.python_version(), used.__version__))
    if not uv_wheel():
        pip("download", "-q", "--no-deps", "--only-binary", ":all:", "-d", "/tmp/uv", "uv==" + os.environ["UV_VERSION"])
    uv = uv_program()
    found = resolve(uv)
    answers = earlier_answers()
    known = set().union(*(wheels for _, wheels in answers))
    is_known = lambda f: f["kind"] == "wheel" and f["sha256"] in known
    download_found(OUT + "/wheels", [f for f in found if not is_known(f)])
    if is_looked_at(answers, found):
        with open(OUT + "/facts", "a") as file:
            file.write("libraries\tall\n")
    else:
        download_found("/tmp/known", [f for f in found if is_known(f)])
        folders = {True: "/tmp/known/", False: OUT + "/wheels/"}
        lay_out_libraries([folders[is_known(f)] + f["file"] for f in found if f["kind"] == "wheel"])
    # What is compiled meets the release that the image has: another one's binary interface isn't its.
    pins = {f["name"]: f["version"] for f in found if f["name"] not in ("setuptools", "wheel", "pip")}
    needs = ["%s==%s" % (need, pins[canonical(need)]) if canonical(need) in pins else need for need in lines("builders")]
    needs += [need for f in found if f["kind"] == "source" for need in needs_of(OUT + "/wheels/" + f["file"])]
    if needs:
        have = {(f["name"], f["version"]) for f in found}
        builders = [f for f in compiled(uv, needs) if (f["name"], f["version"]) not in have]
        for f in builders:
            if f["kind"] == "source":
                stop("%s, which a source archive needs to be built, has no wheel" % f["name"])
            f["kind"] = "build"
        download_found(OUT + "/wheels", builders)
        found += builders
    rows = [dict(keep_uv(known), kind="uv", name="uv", version=os.environ["UV_VERSION"])]
    with open(OUT + "/python.tsv", "w") as file:
        for f in rows + found:
            file.write("%(kind)s\t%(name)s\t%(version)s\t%(file)s\t%(sha256)s\n" % f)


def fetched(folder, flags, requirements):
    """Has pip download files that are pinned, without a word of its own."""
    with open("/tmp/download.txt", "w") as file:
        file.write("\n".join(requirements) + "\n")
    words = ["download", "-q", "--no-deps", "--require-hashes", "-d", OUT + "/" + folder, *flags, "-r", "/tmp/download.txt"]
    program, environment = [sys.executable, "-m", "pip", *words], None
    if any(canonical(line.split("==")[0]) in lines("open") for line in requirements):
        program, environment = pip_without_builds(words)
    return subprocess.run(program, stderr=subprocess.PIPE, env=environment)


def fetch():
    """Files that are pinned already: /mlbuild/python.pins has FOLDER NAME VERSION SHA256 KIND."""
    groups = {}
    for line in lines("python.pins"):
        folder, name, version, sha256, kind = line.split("\t")
        flags = ["--no-binary" if kind == "source" else "--only-binary", ":all:"]
        local = version.partition("+")[2]
        if re.fullmatch(r"cpu|cu\d+|rocm[\d.]+|xpu", local):
            flags += ["--extra-index-url", TORCH + local]
        groups.setdefault((folder, tuple(flags)), []).append((name, version, sha256))
    for (folder, flags), pins in groups.items():
        flags = list(flags)
        one = {pin: "%s==%s --hash=sha256:%s" % pin for pin in pins}
        # All at once: a start of pip takes longer than most files. Where that fails, one by one says
        # which file it is.
        if len(pins) > 1 and fetched(folder, flags, one.values()).returncode == 0:
            continue
        for (name, version, _), requirement in one.items():
            done = fetched(folder, flags, [requirement])
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace")
                got = re.search(r"Got\s+([0-9a-f]{64})", said)
                with open(OUT + "/missing", "a") as file:
                    file.write("%s %s%s\n" % (name, version, "\t" + got.group(1) if got else ""))
                if not got:
                    sys.stderr.write(said)


main()
