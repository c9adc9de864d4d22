#!/usr/bin/env python3
"""Derives data/compat/libraries.toml from wheels: the shared libraries that they look for outside.

Run by hand on Debian, where pip, apt-get and dpkg-deb are:

    python3 templates/compatgen/libgen.py [--keep FOLDER]

Each wheel of WHEELS is downloaded by pip, and the NEEDED entries of its ELF files are read. A library
that no file of the wheel has as its name is an outside one. Left out are the libraries of glibc and
GCC that every Debian image with Python has, those of GPU drivers, and those that another wheel brings.

The Debian package is worked out from the library's name as Debian's policy (section 8.1) has it:
libSM.so.6 is in libsm6, libxcb-icccm.so.4 in libxcb-icccm4. EXCEPTIONS are named otherwise. Each
package is then downloaded by apt-get, and has to hold the file.
"""

import argparse
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "compat" / "libraries.toml"
PYTHON = "3.12"
# Wheels with much compiled code, or known to look for libraries of the system.
WHEELS = """
opencv-python opencv-contrib-python opencv-python-headless open3d vtk mediapipe lightgbm xgboost onnxruntime
soundfile sounddevice psycopg2-binary numba llvmlite pygame pyglet glfw mujoco pymeshlab moderngl glcontext
av decord faiss-cpu matplotlib kaleido pyodbc gmsh cadquery-ocp panda3d PyQt5 PyQt5-Qt5 PyQt6-Qt6
PySide6-Essentials torchaudio torchvision torchcodec pyrealsense2 scikit-learn rasterio
""".split()
# In every image with glibc and Python: glibc, GCC's run-time libraries, and zlib.
ALWAYS = re.compile(
    r"(ld-linux.*|libc|libm|libdl|librt|libpthread|libutil|libresolv|libnsl|libcrypt|libBrokenLocale"
    r"|libgcc_s|libstdc\+\+|libz|libpython3.*)\.so\.\d+|ld-linux.*"
)
# Of a driver (given to the container when it starts), of another wheel, or of any one FFmpeg.
ELSEWHERE = re.compile(
    r"(libcuda|libnv|libcu|libnccl|libtorch|libc10|libtensorflow|libav|libsw|libQt[56]|libvtk|libshiboken|libpyside)[^/]*"
)
EXCEPTIONS = {
    name: "libglib2.0-0"
    for name in ["lib%s-2.0.so.0" % part for part in ("glib", "gthread", "gobject", "gmodule", "gio")]
} | {"libbrotli%s.so.1" % part: "libbrotli1" for part in ("common", "dec", "enc")}


def conventional(library):
    """The name that Debian's policy gives the package of a library."""
    name, _, version = library.partition(".so")
    version = version.lstrip(".")
    joint = "-" if name[-1].isdigit() and version else ""
    return (name + joint + version).lower().replace("_", "-")


def needed(data):
    """The NEEDED entries and the SONAME of an ELF file of 64 bits, little-endian."""
    if data[:6] != b"\x7fELF\x02\x01":
        return [], None
    start, size, count = (*struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54))
    headers = [struct.unpack_from("<IIQQQQQQ", data, start + i * size) for i in range(count)]
    loads = [h for h in headers if h[0] == 1]
    dynamic = next((h for h in headers if h[0] == 2), None)
    if not dynamic:
        return [], None

    def at(address):
        return next(h[2] + address - h[3] for h in loads if h[3] <= address < h[3] + h[5])

    entries = [struct.unpack_from("<QQ", data, dynamic[2] + i * 16) for i in range(dynamic[5] // 16)]
    table = next((value for tag, value in entries if tag == 5), None)
    if table is None:
        return [], None
    strings = at(table)

    def text(offset):
        return data[strings + offset : data.index(b"\0", strings + offset)].decode()

    names = [text(value) for tag, value in entries if tag == 1]
    return names, next((text(value) for tag, value in entries if tag == 14), None)


def outside(wheel):
    """What the files of a wheel look for that none of them is: library, and a file that wants it."""
    has, wants = set(), {}
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.rsplit("/", 1)[-1]
            # As in data/resolve/libraries.sh: of Qt's plugins only the one for X windows counts.
            is_plugin = "/plugins/" in entry.filename and name != "libqxcb.so"
            if ".so" not in name:
                continue
            has.add(name)
            names, own = needed(archive.read(entry))
            has.add(own)
            for library in names if not is_plugin and "/qml/" not in entry.filename else ():
                wants.setdefault(library, entry.filename)
    return {library: by for library, by in wants.items() if library not in has}


def pip_download(name, folder):
    platforms = ["manylinux_2_%d_x86_64" % minor for minor in (40, 39, 36, 35, 34, 31, 28, 27, 24, 17, 12, 5)]
    words = [word for p in platforms + ["manylinux2014_x86_64", "manylinux1_x86_64"] for word in ("--platform", p)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    done = subprocess.run(command + ["--python-version", PYTHON, *words, name], capture_output=True, text=True)
    if done.returncode != 0:
        print(name, "has no wheel:", done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None
    return next(iter(folder.glob("*.whl")), None)


def holds(package, library, folder):
    """Whether a package of Debian has the library."""
    for name in (package, package + "t64"):
        done = subprocess.run(["apt-get", "download", "-q", name], cwd=folder, capture_output=True)
        if done.returncode == 0:
            file = next(iter(folder.glob(name + "_*.deb")))
            listed = subprocess.run(["dpkg-deb", "-c", str(file)], capture_output=True, text=True).stdout
            return re.search(r"/%s( |$)" % re.escape(library), listed, re.M) is not None
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=pathlib.Path, help="a folder that keeps what was downloaded")
    keep = parser.parse_args().keep
    temporary = None if keep else tempfile.TemporaryDirectory()
    root = keep or pathlib.Path(temporary.name)
    wanted = collections.defaultdict(dict)
    for name in WHEELS:
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        wheel = next(iter(folder.glob("*.whl")), None) or pip_download(name, folder)
        if wheel:
            for library, by in outside(wheel).items():
                if not ALWAYS.fullmatch(library) and not ELSEWHERE.match(library):
                    wanted[library][name.lower()] = by
            print(name, file=sys.stderr)
    lines = [line for line in DATA.read_text().splitlines() if line.startswith("#")] if DATA.exists() else []
    debs = root / "debs"
    debs.mkdir(exist_ok=True)
    for library, wheels in sorted(wanted.items()):
        package = EXCEPTIONS.get(library) or conventional(library)
        known = ".so." in library and holds(package, library, debs)
        lines += ["", "[[library]]", 'name = "%s"' % library]
        lines += ['package = "%s"' % package] if known else []
        lines += ["wanted-by = [%s]" % ", ".join('"%s"' % name for name in sorted(wheels))]
        print(library, package if known else "?", sorted(wheels.items()), file=sys.stderr)
    DATA.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
