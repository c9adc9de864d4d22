"""Makes two channels of conda packages: channel.py FOLDER [PYTHON], where PYTHON is the root of a system with Python.

`FOLDER/main` and `FOLDER/extra`, as conda's own servers have them: `SUBDIR/NAME-VERSION-BUILD.conda` (or .tar.bz2) and
`SUBDIR/repodata.json`. Prints `URL-PATH SHA256 MD5` of each package.
"""

import hashlib
import io
import json
import os
import stat
import struct
import sys
import tarfile
import zipfile

PLACEHOLDER = "/opt/placehold_placehold_placehold_placehold_placehold"
# Modules of Python that nobody here imports.
LEFT = ["__pycache__", "test", "idlelib", "lib2to3", "dist-packages", "tkinter", "pydoc_data", "unittest"]
LEFT += ["config-3.11-x86_64-linux-gnu", "ensurepip", "turtledemo", "sqlite3", "curses", "wsgiref", "dbm"]
folder = sys.argv[1]


def tar(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, (content, permissions) in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.mtime = 1700000000
            entry.mode = permissions
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def zstd(data):
    """A frame of RFC 8878 whose blocks are stored as they are."""
    out = struct.pack("<IBQ", 0xFD2FB528, 0xE0, len(data))
    step = 128 << 10
    starts = range(0, len(data), step) or [0]
    for at in starts:
        block = data[at : at + step]
        is_last = at + step >= len(data)
        out += struct.pack("<I", len(block) << 3 | is_last)[:3] + block
    return out


def package(channel, name, version, build, files, depends=(), noarch=None, link=None, form="conda"):
    subdir = "noarch" if noarch else "linux-64"
    index = {"name": name, "version": version, "build": build, "build_number": 0, "subdir": subdir, "license": "MIT"}
    index.update(depends=list(depends), timestamp=1700000000000, **({"noarch": noarch} if noarch else {}))
    paths = []
    for path, (content, _) in files.items():
        entry = {"_path": path, "path_type": "softlink" if isinstance(content, str) else "hardlink"}
        data = b"" if isinstance(content, str) else content
        entry.update(sha256=hashlib.sha256(data).hexdigest(), size_in_bytes=len(data))
        if PLACEHOLDER.encode() in data:
            entry.update(prefix_placeholder=PLACEHOLDER, file_mode="text")
        paths.append(entry)
    info = {
        "info/index.json": (json.dumps(index).encode(), 0o644),
        "info/paths.json": (json.dumps({"paths": paths, "paths_version": 1}).encode(), 0o644),
    }
    if link:
        info["info/link.json"] = (json.dumps(link).encode(), 0o644)
    stem = "%s-%s-%s" % (name, version, build)
    if form == "conda":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for part, data in (
                ("metadata.json", b'{"conda_pkg_format_version": 2}'),
                ("pkg-%s.tar.zst" % stem, zstd(tar(files))),
                ("info-%s.tar.zst" % stem, zstd(tar(info))),
            ):
                archive.writestr(zipfile.ZipInfo(part), data)
        data = out.getvalue()
    else:
        data = tar({**info, **files}, "w:bz2")
    place = "%s/%s/%s.%s" % (channel, subdir, stem, form)
    os.makedirs(os.path.dirname(folder + "/" + place), exist_ok=True)
    with open(folder + "/" + place, "wb") as file:
        file.write(data)
    sha256, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    print(place, sha256, md5)
    row = dict(index, sha256=sha256, md5=md5, size=len(data))
    repodata.setdefault(channel, {"noarch": {}, "linux-64": {}})[subdir]["%s.%s" % (stem, form)] = row


def text(content, mode=0o644):
    return content.encode(), mode


def tree(root, top, to, leave=LEFT):
    """Files below root/top, as they are to be called in a package."""
    found = {}
    for path, folders, names in os.walk(os.path.join(root, top)):
        folders[:] = [name for name in folders if name not in leave]
        for name in names:
            full = os.path.join(path, name)
            if os.path.islink(full) or not stat.S_ISREG(os.stat(full).st_mode):
                continue
            with open(full, "rb") as file:
                found[to + full[len(os.path.join(root, top)) :]] = file.read(), 0o644
    return found


def python_of(root):
    """Debian's Python as one of conda: its modules beside its program, in the folders that Python itself calls so."""
    files = tree(root, "usr/lib/python3.11", "lib/python3.11")
    name, old = "lib/python3.11/sysconfig.py", b"prefix_scheme = 'posix_local'"
    content, mode = files[name]
    assert old in content
    files[name] = content.replace(old, b"prefix_scheme = 'posix_prefix'"), mode
    # Debian's `site` is compiled into the program, and looks there.
    files["local/lib/python3.11/dist-packages"] = "../../../lib/python3.11/site-packages", 0o777
    with open(root + "/usr/bin/python3.11", "rb") as file:
        files["bin/python3.11"] = file.read(), 0o755
    files["bin/python3"] = files["bin/python"] = "python3.11", 0o777
    package("main", "python", "3.11.2", "0_cpython", files)
    # Of pip the program alone is left out: `python -m pip` is what calls it.
    pip = tree(root, "usr/lib/python3/dist-packages/pip", "site-packages/pip", ("__pycache__",))
    package("main", "pip", "23.0.1", "py_0", pip, ["python >=3.7"], noarch="python")


repodata = {}
hello = "#!/bin/sh\n# of %s\nexec %s/bin/helper hello\n" % (PLACEHOLDER, PLACEHOLDER)
post = "#!/bin/sh\ntouch /opt/a-script-of-a-package-was-run\n"
files = {"bin/hello": text(hello, 0o755), "bin/.hello-post-link.sh": text(post, 0o755)}
package("main", "hello", "1.0", "0", files, ["helper >=2"], noarch="generic", form="tar.bz2")
for channel, version in (("main", "1.0"), ("main", "2.1"), ("extra", "3.0")):
    helper = "#!/bin/sh\necho helper %s says $1\n" % version
    package(channel, "helper", version, "h1_0", {"bin/helper": text(helper, 0o755)})
package("extra", "other", "0.1", "0", {"share/other": text("other\n")}, ["helper >=3"])
package("extra", "of-gpu", "1.0", "0", {"share/of-gpu": text("cuda\n")}, ["__cuda >=12", "__glibc >=2.17,<3"])
greet = {"site-packages/greet.py": text("import sys\ndef main():\n    print('greetings from', sys.prefix)\n")}
entry = {"noarch": {"type": "python", "entry_points": ["greet = greet:main"]}, "package_metadata_version": 1}
package("main", "greet", "0.9", "py_0", greet, ["python >=3.8"], noarch="python", link=entry)
if len(sys.argv) > 2:
    python_of(sys.argv[2])
for channel, subdirs in repodata.items():
    for subdir, rows in subdirs.items():
        ends = {"packages": ".tar.bz2", "packages.conda": ".conda"}
        data = {key: {n: r for n, r in rows.items() if n.endswith(end)} for key, end in ends.items()}
        os.makedirs("%s/%s/%s" % (folder, channel, subdir), exist_ok=True)
        with open("%s/%s/%s/repodata.json" % (folder, channel, subdir), "w") as file:
            json.dump(dict(data, info={"subdir": subdir}, repodata_version=1), file)
