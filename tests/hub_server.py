"""A server on this machine that speaks as much of the Hugging Face hub as its own client asks for.

Repositories are in memory: every commit has all files.
"""

import base64
import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class Hub(ThreadingHTTPServer):
    """Attributes: commits: repository → [(id, {file: content})], the newest last."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, repository, files):
        """Add a commit; its id."""
        commits = self.commits.setdefault(repository, [])
        content = {**(commits[-1][1] if commits else {}), **files}
        digest = hashlib.sha1(repr((len(commits), sorted(content.items()))).encode()).hexdigest()
        commits.append((digest, content))
        return digest

    def at(self, repository, revision):
        """The commit of a revision, or None."""
        commits = self.commits.get(repository, [])
        if revision == "main" and commits:
            return commits[-1]
        return next((commit for commit in commits if commit[0] == revision), None)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, content=b"{}", status=200, **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self):
        self.answer({"error": "Not found"}, 404, X_Error_Code="RepoNotFound")

    def do_GET(self):
        path = unquote(urlparse(self.path).path)
        self.server.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            found = self.server.at("/".join(parts[2:4]), (parts[5:] or ["main"])[0])
            if not found:
                return self.missing()
            files = [{"rfilename": n, "size": len(c)} for n, c in found[1].items()]
            name = "/".join(parts[2:4])
            return self.answer({"id": name, "sha": found[0], "siblings": files})
        found = self.server.at("/".join(parts[:2]), parts[3])
        content = found[1].get("/".join(parts[4:])) if found else None
        if content is None:
            return self.answer({}, 404, X_Error_Code="EntryNotFound")
        tag = hashlib.sha256(content).hexdigest()
        return self.answer(content, ETag=f'"{tag}"', X_Repo_Commit=found[0])

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        path = unquote(urlparse(self.path).path)
        self.server.asked.append(path)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.server.commits.setdefault(name, [])
            self.server.commit(name, {})
            return self.answer({"url": f"{self.server.url}/{name}"})
        if "preupload" in parts:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        if "commit" in parts:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                one["value"]["path"]: base64.b64decode(one["value"]["content"])
                for one in lines
                if one["key"] == "file"
            }
            name = "/".join(parts[2:4])
            digest = self.server.commit(name, files)
            url = f"{self.server.url}/{name}/commit/{digest}"
            return self.answer({"commitUrl": url, "commitOid": digest, "success": True})
        return self.answer()


@contextlib.contextmanager
def running():
    """A hub, until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
