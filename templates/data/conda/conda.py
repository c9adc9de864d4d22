"""Packages of conda's channels: found, fetched by hash, and laid out under one prefix.

    conda.py find REQUEST OUT     OUT/found: HASH SUBDIR URL of each package
    conda.py fetch OUT [MISSING]  OUT/pkgs/FILE, and OUT/conda.tsv; what can't be had stops it, or is in MISSING
    conda.py install OUT PREFIX [pip] [plain]
                                  the prefix; `pip`: packages of the index follow, `plain`: it becomes no image

REQUEST has a JSON object on each line: {"url", "hash", "subdir"} of packages that a lock pins, else {"channel"},
{"spec"} and {"cuda"} of what has to be solved. Runs on Python 3.10 or newer with py-rattler. Scripts of packages are
never run.
"""

import asyncio
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import unquote, urlsplit

SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
CACHE = "/root/.cache/mlbuild/conda"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]*-[^-/]+-[^-/]+\.(conda|tar\.bz2)")


def stop(text):
    sys.exit("mlbuild: " + text)


def own_subdir():
    machine = platform.machine()
    if machine not in SUBDIRS:
        stop("conda has no packages for %s" % machine)
    return SUBDIRS[machine]


def file_of(url):
    name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    if not NAME.fullmatch(name):
        stop("%s is no address of a conda package" % url)
    return name


def parts_of(file):
    name, version, build = re.sub(r"\.(conda|tar\.bz2)$", "", file).rsplit("-", 2)
    return name, version, build


def find(request, out):
    with open(request) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    if any("url" in line for line in lines):
        found = [(line["hash"], line["subdir"], line["url"]) for line in lines]
        found = [row for row in found if row[1] == own_subdir()]
        if not found:
            stop("the lock of conda has no packages for %s" % own_subdir())
    else:
        found = solve(lines)
    os.makedirs(out + "/pkgs", exist_ok=True)
    with open(out + "/found", "w") as file:
        for row in sorted(found, key=lambda row: file_of(row[2])):
            file.write("%s %s %s\n" % row)


def solve(lines):
    import rattler

    of = lambda key: [line[key] for line in lines if key in line]
    package = lambda name, version, build="0": rattler.GenericVirtualPackage(
        rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
    )
    release = platform.release().split("-")[0]
    virtual = [
        package("__unix", "0"),
        package("__linux", release if re.fullmatch(r"[0-9.]+", release) else "0"),
        package("__glibc", platform.libc_ver()[1] or "2.17"),
        package("__archspec", "1", platform.machine()),
    ]
    virtual += [package("__cuda", version) for version in of("cuda")]
    config = rattler.Config.from_toml('tls-root-certs = "system"\n') if os.environ.get("SSL_CERT_FILE") else None
    client = rattler.Client.from_config(config) if config else rattler.Client.default_client()
    gateway = rattler.Gateway(cache_dir="/tmp/mlbuild-repodata", client=client)
    as_of = os.environ.get("AS_OF")
    job = rattler.solve(
        of("channel"),
        of("spec"),
        gateway=gateway,
        platforms=[own_subdir(), "noarch"],
        virtual_packages=virtual,
        exclude_newer=datetime.fromisoformat(as_of.replace("Z", "+00:00")) if as_of else None,
    )
    try:
        records = asyncio.run(job)
    except Exception as error:
        stop("the conda packages can't be had together: %s" % error)
    found = []
    for record in records:
        if not record.sha256:
            stop("the channel names no sha256 of %s" % record.file_name)
        found.append(("sha256:" + record.sha256.hex(), own_subdir(), str(record.url)))
    return found


def rows_of(out):
    with open(out + "/found") as file:
        return [line.split() for line in file]


def digest(path, kind):
    found = hashlib.new(kind)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def from_cache(pinned, path):
    """The file as another build left it; its hash is looked at as that of any other."""
    try:
        shutil.copyfile(CACHE + "/" + pinned, path)
    except OSError:
        pass


def into_cache(pinned, path):
    try:
        os.makedirs(CACHE, exist_ok=True)
        new = "%s/%s.%d.new" % (CACHE, pinned, os.getpid())
        shutil.copyfile(path, new)
        os.replace(new, CACHE + "/" + pinned)
    except OSError as error:
        sys.stderr.write("mlbuild: the builder's cache can't be written: %s\n" % error)


def download(url, path):
    """Three tries; what a server says it hasn't is gone at once."""
    for left in (2, 1, 0):
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "mlbuild"})
            with urllib.request.urlopen(request, timeout=60) as answer, open(path, "wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
            return
        except (OSError, urllib.error.URLError) as error:
            is_gone = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)
            if is_gone or not left:
                raise


def fetch_one(row, out):
    """The columns of the table, and what is wrong: a text, and the hash that was found if one was."""
    pinned, _, url = row
    kind, _, wanted = pinned.partition(":")
    file = file_of(url)
    path = out + "/pkgs/" + file
    from_cache(pinned, path)
    if not os.path.exists(path) or digest(path, kind) != wanted:
        try:
            download(url, path)
        except Exception as error:
            return parts_of(file), ("%s can't be had: %s" % (url, error), "")
        found = digest(path, kind)
        if found != wanted:
            os.remove(path)
            return parts_of(file), ("%s has the %s %s, and %s is pinned" % (url, kind, found, wanted), found)
        into_cache(pinned, path)
    return parts_of(file) + (file, digest(path, "sha256"), str(os.path.getsize(path)), url), None


def fetch(out, missing=None):
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda row: fetch_one(row, out), rows_of(out)))
    wrong = [(columns, error) for columns, error in done if error]
    if wrong and not missing:
        stop("\nmlbuild: ".join(error for _, (error, _) in wrong))
    for columns, (error, found) in wrong:
        sys.stderr.write("mlbuild: %s\n" % error)
        with open(missing, "a") as file:
            file.write("%s %s%s\n" % (columns[0], columns[1], "\t" + found if found else ""))
    with open(out + "/conda.tsv", "w") as file:
        file.writelines("\t".join(columns) + "\n" for columns, error in done if not error)


def record_of(line, out):
    """What rattler is told of a package, as the package itself has it."""
    import rattler

    name, version, build, file, sha256, size, url = line.rstrip("\n").split("\t")
    path = os.path.abspath(out + "/pkgs/" + file)
    index = rattler.IndexJson.from_package_archive(path)
    of_itself = (index.name.source, str(index.version), str(index.build))
    if of_itself != (name, version, build):
        stop("%s holds another package: %s" % (file, "-".join(of_itself)))
    same = ("arch", "platform", "noarch", "depends", "constrains", "license", "python_site_packages_path")
    record = rattler.PackageRecord(
        index.name, index.version, index.build, index.build_number, index.subdir or "noarch",
        sha256=bytes.fromhex(sha256), size=int(size), **{key: getattr(index, key) for key in same}
    )
    return rattler.RepoDataRecord(record, file, "file://" + path, os.path.dirname(url))


def install(out, prefix, *how):
    import rattler

    with open(out + "/conda.tsv") as table:
        lines = table.readlines()
    records = [record_of(line, out) for line in lines]
    cache = "/tmp/mlbuild-conda-cache"
    work = rattler.install(
        records, prefix, cache_dir=cache, platform=rattler.Subdir(own_subdir()), execute_link_scripts=False, show_progress=False
    )
    asyncio.run(work)
    shutil.rmtree(cache)
    names = {line.split("\t")[0] for line in lines}
    if "pip" in how and "python" in names and "pip" not in names:
        python = subprocess.run([prefix + "/bin/python", "-m", "ensurepip"], env=dict(os.environ, PYTHONPATH=""))
        if python.returncode != 0:
            stop("packages of the package index are asked for, and conda's Python has no pip: add pip to its packages")
    if "plain" in how:
        return
    settle(prefix, {line.split("\t")[3]: line.rstrip("\n").split("\t")[6] for line in lines})
    tell_scripts(prefix)


def settle(prefix, addresses):
    """Leaves nothing in the prefix that depends on the moment, or on where the files came from."""
    for path in glob.glob(prefix + "/conda-meta/*.json"):
        with open(path) as file:
            meta = json.load(file)
        for key in ("extracted_package_dir", "package_tarball_full_path", "link", "requested_spec", "requested_specs"):
            meta.pop(key, None)
        meta["url"] = addresses[meta["fn"]]
        with open(path, "w") as file:
            json.dump(meta, file, indent=1, sort_keys=True)
        os.chmod(path, 0o644)
    for left in (prefix + "/conda-meta/history", prefix + "/CACHEDIR.TAG"):
        if os.path.isfile(left):
            os.remove(left)
    pythons = glob.glob(prefix + "/lib/python3.*/")
    for folder in pythons:
        for cached in glob.glob(folder + "**/__pycache__", recursive=True):
            shutil.rmtree(cached)
    if os.path.exists(prefix + "/bin/python"):
        # Bytecode that doesn't look at times; nothing that is started imports pip.
        words = [prefix + "/bin/python", "-m", "compileall", "-qq", "-j1", "--invalidation-mode", "unchecked-hash"]
        words += ["-x", "/site-packages/pip/"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(words + pythons, env=dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=""), **quiet)
    when = 315532800  # 1980, as old as archives can have it
    for top, folders, files in os.walk(prefix, topdown=False):
        for name in files + ["."]:
            os.utime(os.path.join(top, name), (when, when), follow_symlinks=False)


def tell_scripts(prefix):
    """Scripts that conda would run, and nobody here looked at."""
    linked = [os.path.basename(path) for path in glob.glob(prefix + "/bin/.*-post-link.sh")]
    names = sorted(name[1:].replace("-post-link.sh", "") for name in linked)
    if names:
        sys.stderr.write("mlbuild: these packages' own scripts aren't run after they are installed: %s\n" % ", ".join(names))
    started = sorted(os.listdir(prefix + "/etc/conda/activate.d")) if os.path.isdir(prefix + "/etc/conda/activate.d") else []
    if started:
        sys.stderr.write(
            "mlbuild: nothing is activated in a container, so these aren't run: %s; set what they set under [image] env\n"
            % ", ".join(started)
        )


def main():
    code = 0
    try:
        {"find": find, "fetch": fetch, "install": install}[sys.argv[1]](*sys.argv[2:])
    except SystemExit as end:
        code = 1 if isinstance(end.code, str) else end.code or 0
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of rattler's may still run, and Python's own end stumbles over them.
    os._exit(code)


main()
