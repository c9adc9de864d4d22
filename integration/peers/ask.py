"""What pip, and what uv, make of requirement lines: asked by the tests, in a project's folder.

Reads one JSON text a line from standard input (the content of a requirements file, base64) and
answers {"ok": true} or {"error": "…"} each. Nothing is fetched and nothing is installed.
"""
import base64
import json
import os
import sys
import tempfile

from pip._internal.network.session import PipSession
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements


def verdict(content):
    with tempfile.NamedTemporaryFile(dir=".", suffix=".txt") as file:
        file.write(content)
        file.flush()
        try:
            for parsed in parse_requirements(os.path.basename(file.name), session=SESSION):
                install_req_from_parsed_requirement(parsed)
        except BaseException as error:  # pip's parser of options ends the program
            return {"error": "%s: %s" % (type(error).__name__, str(error).split("\n")[0])}
    return {"ok": True}


SESSION = PipSession()
for line in sys.stdin:
    print(json.dumps(verdict(base64.b64decode(json.loads(line)))), flush=True)
