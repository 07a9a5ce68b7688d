"""A token endpoint as OpenID providers have it: client_credentials with HTTP Basic, JWTs that a key set vouches for."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

AUDIENCE, ISSUER, SCOPE = "kafka", "https://id.example.net", "mail"
SECRET = "told to nobody"
LIFE_SECONDS = 20


class TokenServer:
    """`url` gives tokens to who knows the secret; `key_set` is the file that brokers read."""

    def __init__(self, folder: Path) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
        self.key_set = folder / "jwks.json"
        self.key_set.write_text(json.dumps(KeySet([self._key]).as_dict(private=False)))
        self.given = 0
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
                client, _, secret = base64.b64decode(encoded).decode().partition(":")
                is_right = kind == "Basic" and secret == SECRET and form["grant_type"] == ["client_credentials"]
                body = source.give(client, form.get("scope", [""])[0]) if is_right else {"error": "invalid_client"}
                text = json.dumps(body).encode()
                self.send_response(200 if is_right else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def give(self, client: str, scope: str) -> dict[str, object]:
        self.given += 1
        now = int(time.time())
        claims = {"sub": client, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + LIFE_SECONDS, "scope": scope}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | {"jti": uuid.uuid4().hex}, self._key)
        return {"access_token": token, "token_type": "Bearer", "expires_in": LIFE_SECONDS, "scope": scope}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
