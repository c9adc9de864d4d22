"""A name server that knows registry.corp.example alone, and a registry there, over TLS. Prints `ready`, then requests.

FOLDER has cert and key.
"""

import http.server
import socketserver
import ssl
import struct
import sys
import threading

KNOWN = "registry.corp.example"
NOT_FOUND = 3
TYPE_A = 1


class Names(socketserver.BaseRequestHandler):
    """Answers a question of https://www.rfc-editor.org/rfc/rfc1035 in one datagram."""

    def handle(self) -> None:
        asked, answerer = self.request
        labels, at = [], 12
        while asked[at]:
            labels.append(asked[at + 1 : at + 1 + asked[at]].decode())
            at += 1 + asked[at]
        question = asked[12 : at + 5]
        (kind,) = struct.unpack(">H", asked[at + 1 : at + 3])
        is_known = ".".join(labels) == KNOWN
        answers = is_known and kind == TYPE_A
        head = asked[:2] + struct.pack(">HHHHH", 0x8180 | (0 if is_known else NOT_FOUND), 1, int(answers), 0, 0)
        record = struct.pack(">HHHLH", 0xC00C, TYPE_A, 1, 60, 4) + bytes([127, 0, 0, 1])
        answerer.sendto(head + question + (record if answers else b""), self.client_address)


class Registry(http.server.BaseHTTPRequestHandler):
    """Has no image."""

    def do_GET(self) -> None:
        body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such image"}]}'
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, form: str, *values: object) -> None:
        print(form % values, flush=True)


names = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Names)
threading.Thread(target=names.serve_forever, daemon=True).start()
registry = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Registry)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{sys.argv[1]}/cert", f"{sys.argv[1]}/key")
registry.socket = context.wrap_socket(registry.socket, server_side=True)
print("ready", flush=True)
registry.serve_forever()
