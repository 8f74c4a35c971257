"""A stand-in for a Hugging Face hub on this machine: as much of its protocol as huggingface_hub speaks to upload and download.

Repositories are created, listed, committed to (small files in the commit, weights by LFS) and read back, ranges of a file too.
Weights are where a link points to: on another host, without the token, until the link expires.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_stand-in"
COMMIT = "0" * 39 + "1"


class TinyHub:
    """What was uploaded: ``repositories[name][path]`` is a file's content."""

    def __init__(self):
        self.repositories, self.private, self.messages, self.requests = {}, {}, [], []
        self.address = ""
        self.round = 0
        """Number of the links that are valid; change it, and all links given before have expired."""
        self._large = {}

    def put_files(self, name, folder):
        """Make a repository of a folder's files."""
        self.repositories[name] = {path.name: path.read_bytes() for path in folder.iterdir()}

    def get(self, path, headers):
        """Status, headers and body of the answer."""
        if path == "/":
            return 200, {}, b""
        if path == "/api/whoami-v2":
            return _json({"name": "owner", "type": "user", "orgs": []})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/tree/[^/]+|/revision/[^/]+)?", path):
            return self._told(found[1], tree=(found[2] or "").startswith("/tree"))
        if found := re.fullmatch(r"/content/(\d+)/([^/]+/[^/]+)/(.+)", path):
            if int(found[1]) != self.round or "authorization" in headers:
                return 403, {}, b"expired"
            return _part(self.repositories[found[2]][found[3]], {}, headers.get("range"))
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            return self._file(found[1], found[2], headers.get("range"))
        return 404, {}, b""

    def post(self, path, body):
        if path == "/api/validate-yaml":
            return _json({})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
            self.repositories[name], self.private[name] = (
                {".gitattributes": b"*.safetensors lfs\n"},
                asked.get("visibility") == "private" or bool(asked.get("private")),
            )
            return _json({"url": f"{self.address}/{name}", "id": name})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            return self._modes(json.loads(body)["files"]) if found[1] in self.repositories else _missing()
        if path.endswith(".git/info/lfs/objects/batch"):
            return _json({"transfer": "basic", "objects": [self._place(each) for each in json.loads(body)["objects"]]})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            return self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        return 404, {}, b""

    def put(self, path, body):
        oid = path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self._large[oid] = body
        return 200, {}, b""

    def _told(self, name, *, tree):
        if name not in self.repositories:
            return _missing()
        files = self.repositories[name]
        if not tree:
            return _json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]})
        return _json([{"type": "file", "path": path, "size": len(body), "oid": _oid(body)} for path, body in files.items()])

    def _file(self, name, path, wanted):
        if name not in self.repositories:
            return _missing()
        if (body := self.repositories[name].get(path)) is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        about = {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not path.endswith(".safetensors"):
            return _part(body, about, wanted)
        place = f"{self.address.replace('127.0.0.1', 'localhost')}/content/{self.round}/{name}/{path}"
        linked = {"X-Linked-Size": str(len(body)), "X-Linked-ETag": about["ETag"]}
        return 302, about | linked | {"Location": place}, b""

    def _modes(self, files):
        modes = [
            {"path": each["path"], "shouldIgnore": False, "uploadMode": "lfs" if "safetensors" in each["path"] else "regular"}
            for each in files
        ]
        return _json({"files": modes})

    def _place(self, each):
        upload = {"actions": {"upload": {"href": f"{self.address}/lfs/{each['oid']}", "header": {}}}}
        return {"oid": each["oid"], "size": each["size"]} | ({} if each["oid"] in self._large else upload)

    def _commit(self, name, lines):
        files = self.repositories[name]
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    self.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self._large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        return _json({"success": True, "commitOid": COMMIT, "commitUrl": f"{self.address}/{name}/commit/{COMMIT}"})


@contextlib.contextmanager
def tiny_hub(patch):
    """Serve an empty hub, which huggingface_hub takes for its own while the block runs; ``patch`` is a pytest.MonkeyPatch."""
    from huggingface_hub import constants

    hub = TinyHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        hub.address = f"http://127.0.0.1:{running.server_address[1]}"
        # huggingface_hub reads these once, when it is imported
        patch.setattr(constants, "ENDPOINT", hub.address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setenv("HF_TOKEN", TOKEN)
        try:
            yield hub
        finally:
            running.shutdown()


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms

        def do_GET(self):
            self._answer(lambda path, _: hub.get(path, {name.lower(): value for name, value in self.headers.items()}))

        def do_HEAD(self):
            self.do_GET()

        def do_POST(self):
            self._answer(hub.post)

        def do_PUT(self):
            self._answer(hub.put)

        def _answer(self, answer):
            path, body = self.path.partition("?")[0], self._body()
            hub.requests.append((self.command, path))
            allowed = (
                path.startswith(("/lfs/", "/content/")) or path == "/" or self.headers.get("authorization") == f"Bearer {TOKEN}"
            )
            status, headers, content = answer(path, body) if allowed else (401, {}, b"")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _body(self):
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_):
            pass

    return Handler


def _part(body, about, wanted):
    """The whole content, or the range of it that was asked for."""
    if not (found := re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")):
        return 200, about, body
    first, last = int(found[1]), int(found[2] or len(body) - 1)
    return 206, about | {"Content-Range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]


def _oid(body):
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _json(value):
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _missing():
    return 404, {"X-Error-Code": "RepoNotFound"}, b""
