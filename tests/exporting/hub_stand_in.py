"""The part of the Hugging Face Hub's HTTP API that a push of a data set uses, on a real local socket."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

COMMIT = "c" * 40


@dataclass
class HubStandIn:
    """What the stand-in was sent, and how it shall answer.

    With `large_files` it wants Parquet by git LFS, as the real Hub does, else inside the commit.
    """

    token: str
    large_files: bool = False
    refuse_with: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    url: str = ""
    _blobs: dict[str, bytes] = field(default_factory=dict)

    def answer(self, method: str, path: str, authorization: str | None, body: bytes) -> tuple[int, Any]:
        """Status and JSON for one request."""
        if path.startswith("/blobs/"):  # the store of large files, which is paid for by the link and not by the token
            self._blobs[path.removeprefix("/blobs/")] = body
            return 200, {}
        self.authorizations.add(authorization)
        if self.refuse_with is not None:
            return self.refuse_with, {"error": f"no, {authorization}"}
        if authorization != f"Bearer {self.token}":
            return 401, {"error": f"Invalid credentials in {authorization}"}
        for ending, respond in (
            ("/repos/create", self._create),
            ("/validate-yaml", lambda _body: {}),
            ("/preupload/main", self._preupload),
            ("/objects/batch", self._large_file_links),
            ("/commit/main", self._commit),
        ):
            if path.endswith(ending) and method == "POST":
                return 200, respond(body)
        if "/tree/main" in path or path.endswith("/revision/main"):
            return 200, self._tree() if "/tree/" in path else {"id": "me/pairs", "sha": COMMIT, "siblings": []}
        return 404, {"error": f"the stand-in does not know {method} {path}"}

    def _create(self, body: bytes) -> dict[str, Any]:
        wish = json.loads(body)
        self.created.append(wish)
        return {"url": f"{self.url}/datasets/{wish['organization']}/{wish['name']}"}

    def _preupload(self, body: bytes) -> dict[str, Any]:
        def mode(path: str) -> str:
            return "lfs" if self.large_files and path.endswith(".parquet") else "regular"

        names = [file["path"] for file in json.loads(body)["files"]]
        return {"files": [{"path": name, "uploadMode": mode(name), "shouldIgnore": False} for name in names]}

    def _large_file_links(self, body: bytes) -> dict[str, Any]:
        objects = json.loads(body)["objects"]
        return {
            "transfer": "basic",
            "objects": [
                {**item, "actions": {"upload": {"href": f"{self.url}/blobs/{item['oid']}"}}} for item in objects
            ],
        }

    def _commit(self, body: bytes) -> dict[str, Any]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = blob = self._blobs[value["oid"]]
                assert sha256(blob).hexdigest() == value["oid"]
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]
        return {"commitUrl": f"{self.url}/datasets/me/pairs/commit/{COMMIT}", "commitOid": COMMIT}

    def _tree(self) -> list[dict[str, Any]]:
        return [{"type": "file", "path": path, "size": len(data), "oid": "0"} for path, data in self.files.items()]


@contextmanager
def served(hub: HubStandIn) -> Iterator[HubStandIn]:
    """Serve the stand-in on a free port, named in `hub.url`, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, answer = hub.answer(self.command, urlsplit(self.path).path, self.headers["authorization"], body)
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = respond  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
