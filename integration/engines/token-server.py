#!/usr/bin/env python3
"""A token server for the test registry, as the Distribution specification
describes one: GET with basic authentication, POST for OAuth2 (password and
refresh tokens). Anyone may pull from public/…; the one user may do anything.

usage: token-server.py PORT KEY.pem CERT.pem USER   (password: $TOKEN_PASSWORD)
"""

import base64
import hmac
import json
import os
import secrets
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT, KEY, CERT, USER = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
PASSWORD = os.environ.pop("TOKEN_PASSWORD")
REFRESH = secrets.token_hex(16)
NAME = "mlbuild-test"
LIFETIME = 300


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificate() -> str:
    with open(CERT, encoding="ascii") as file:
        return "".join(line.strip() for line in file if "-----" not in line)


def sign(claims: dict) -> str:
    header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate()]}
    body = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    command = ["openssl", "dgst", "-sha256", "-sign", KEY]
    signature = subprocess.run(command, input=body.encode(), capture_output=True, check=True).stdout
    return f"{body}.{b64(signature)}"


def token(user: str, scopes: list[str]) -> str:
    access = []
    for scope in " ".join(scopes).split():
        kind, name, actions = scope.rsplit(":", 1)[0].split(":", 1) + [scope.rsplit(":", 1)[1].split(",")]
        if not user:
            actions = [a for a in actions if a == "pull" and name.startswith("public/")]
        access.append({"type": kind, "name": name, "actions": actions})
    now = int(time.time())
    return sign({
        "iss": NAME, "aud": NAME, "sub": user, "jti": secrets.token_hex(8),
        "iat": now, "nbf": now - 10, "exp": now + LIFETIME, "access": access,
    })


def known(user: str, password: str) -> bool:
    return hmac.compare_digest(user, USER) and hmac.compare_digest(password, PASSWORD)


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def grant(self, user: str, query: dict, offline: bool) -> None:
        value = token(user, query.get("scope", []))
        body = {"token": value, "access_token": value, "expires_in": LIFETIME}
        if offline and user:
            body["refresh_token"] = REFRESH
        self.answer(200, body)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        given = self.headers.get("Authorization", "")
        user = ""
        if given.startswith("Basic "):
            user, _, password = base64.b64decode(given[6:]).decode().partition(":")
            if not known(user, password):
                self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]})
                return
        self.grant(user, query, query.get("offline_token") == ["true"])

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        form = parse_qs(self.rfile.read(length).decode())
        one = lambda key: form.get(key, [""])[0]
        allowed = {
            "password": lambda: known(one("username"), one("password")),
            "refresh_token": lambda: hmac.compare_digest(one("refresh_token"), REFRESH),
        }.get(one("grant_type"), lambda: False)()
        if allowed:
            self.grant(USER, form, one("access_type") == "offline")
        else:
            self.answer(401, {"error": "invalid_grant", "error_description": "wrong user, password or token"})


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
