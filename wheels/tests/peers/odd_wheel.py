"""Writes odd-1.0-py3-none-any.whl into a folder: what the format allows, and what it leaves open."""

import base64
import csv
import hashlib
import io
import sys
import warnings
import zipfile

DATA = "odd-1.0.data/"
INFO = "odd-1.0.dist-info/"
FILES = [
    # Scripts: the whole first line is replaced where it begins with #!python.
    (DATA + "scripts/flag", b"#!python -u\nprint(1)\n", 0o100644),
    (DATA + "scripts/gui", b"#!pythonw -x\nprint(1)\n", 0o100755),
    (DATA + "scripts/version", b"#!python3 -x\nprint(1)\n", 0o100755),
    (DATA + "scripts/crlf", b"#!python\r\nprint(1)\r\n", 0o100600),
    (DATA + "scripts/alone", b"#!python", 0o100600),
    (DATA + "scripts/shell", b"#!/bin/sh\necho", 0o100600),
    (DATA + "scripts/space", b"#! python -u\nx", 0o100600),
    (DATA + "scripts/other", b"#!pythonwhy -u\nx", 0o100600),
    (DATA + "scripts/short", b"#!", 0o100600),
    (DATA + "scripts/entry", b"#!python\nreplaced by an entry point", 0o100600),
    (DATA + "scripts/entry-script.py", b"#!python\nlikewise", 0o100600),
    # The other parts of the environment.
    (DATA + "data/share/odd/y.txt", b"y", 0o100600),
    (DATA + "data/share/empty/", b"", 0o40755),
    (DATA + "data/bin/tool", b"#!python\nnot rewritten", 0o100600),
    (DATA + "headers/h.h", b"h", 0o100644),
    (DATA + "headers/sub/h2.h", b"h2", 0o100644),
    (DATA + "purelib/odd_pure.py", b"p", 0o100644),
    (DATA + "platlib/odd_plat/__init__.py", b"q", 0o100777),
    # Modes and names.
    ("odd/__init__.py", b"", 0),
    ("odd/link", b"__init__.py", 0o120777),
    ("odd/private", b"x", 0o100600),
    ("odd/group", b"x", 0o100664),
    ("odd/group-x", b"x", 0o100610),
    ("odd/e\u0301.txt", b"decomposed", 0o100644),
    ("odd/\u00e9.txt", b"composed", 0o100644),
    ("odd/\u6f22\u5b57/" + "x" * 200 + "/" + "y" * 200 + ".py", b"long", 0o100644),
    ('odd/quote",comma.txt', b"q", 0o100644),
    ("odd/empty/", b"", 0o40755),
    ("odd/./dot//x.py", b"dot", 0o100644),
    ("odd/__pycache__/x.cpython-311.pyc", b"pyc", 0o100644),
    ("odd.pth", b"import odd\n", 0o100644),
    (INFO + "entry_points.txt", b"[console_scripts]\nentry = odd:main\nsub=odd.sub:a.b [x]\n[gui_scripts]\ngraphical = odd : g\n", 0o100644),
    (INFO + "INSTALLER", b"somebody", 0o100644),
    (INFO + "METADATA", b"Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n", 0o100644),
    (INFO + "WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", 0o100644),
]


def record():
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, content in {name: content for name, content, _ in FILES}.items():
        if not name.endswith("/"):
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
            writer.writerow((name, "sha256=" + digest.rstrip(b"=").decode(), len(content)))
    writer.writerow((INFO + "RECORD", "", ""))
    return text.getvalue().encode()


warnings.simplefilter("ignore")
with zipfile.ZipFile(sys.argv[1] + "/odd-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    for name, content, mode in FILES + [(INFO + "RECORD", record(), 0o100664)]:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entry.create_system = 3
        entry.compress_type = zipfile.ZIP_DEFLATED
        wheel.writestr(entry, content)
