"""A web site of somebody else's, on an origin of its own, that shows a booking page of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}


@dataclass
class Site:
    """Its address, its pages by their paths, and a folder whose files it serves."""

    address: str
    pages: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def file(self, path: str) -> bytes | None:
        """Return a file of the folder; None for one that is not in it."""
        if self.folder is None:
            return None
        found = (self.folder / path.lstrip("/")).resolve()
        return found.read_bytes() if found.is_file() and found.is_relative_to(self.folder) else None


@contextmanager
def serving() -> Iterator[Site]:
    """Run a site until the end; it is reached as localhost, which is another site than 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            page = site.pages.get(path)
            body = page.encode() if page is not None else site.file(path)
            self.send_response(200 if body is not None else 404)
            kind = "text/html" if page is not None else TYPES.get(Path(path).suffix, "text/plain")
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://localhost:{server.server_port}")
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
