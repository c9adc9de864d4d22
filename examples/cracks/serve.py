"""Shows the cracks of a wall on port 5000, and what this is on port 8001."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

from detect import detect
from wall import wall

HOST = os.environ.get("CRACKS_HOST", "0.0.0.0")
PORT = int(os.environ.get("CRACKS_PORT", "5000"))
DOCS_PORT = int(os.environ.get("CRACKS_DOCS_PORT", "8001"))


def report() -> tuple[dict, bytes]:
    """What was found, and the picture with the cracks framed, as PNG."""
    picture, length = wall()
    cracks = detect(picture)
    framed = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    for crack in cracks:
        x, y, width, height = crack.box
        cv2.rectangle(framed, (x, y), (x + width, y + height), (0, 0, 220), 2)
    found = sum(crack.length for crack in cracks)
    figures = {"cracks": len(cracks), "length": round(found), "true_length": round(length), "opencv": cv2.__version__}
    return figures, cv2.imencode(".png", framed)[1].tobytes()


def pages(contents: dict[str, tuple[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    """A handler that serves fixed pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = contents.get(self.path, ("text/plain", b"no such page\n"))
            self.send_response(200 if self.path in contents else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    figures, picture = report()
    page = f'<h1>{figures["cracks"]} cracks, {figures["length"]} px</h1><img src="wall.png">'.encode()
    text = Path(__file__).with_name("README.md").read_bytes()
    shown = pages({
        "/": ("text/html", page),
        "/wall.png": ("image/png", picture),
        "/cracks.json": ("application/json", json.dumps(figures).encode() + b"\n"),
    })
    docs = ThreadingHTTPServer((HOST, DOCS_PORT), pages({"/": ("text/plain; charset=utf-8", text)}))
    threading.Thread(target=docs.serve_forever, daemon=True).start()
    print(json.dumps(figures), flush=True)
    ThreadingHTTPServer((HOST, PORT), shown).serve_forever()


if __name__ == "__main__":
    main()
