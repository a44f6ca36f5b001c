"""Static files under names that change with what they hold, and the compression of all responses.

/static/app.css is /static/app.0123456789.css to a page, so that a browser keeps it for a year, and is
compressed once. A name of another version, as a page has it that was open during an upgrade, gets the file of
this version, which is not kept.

Compressed is what everybody may read, never a secret. Who sees the length of a compressed page and can put
text into it learns what else is in it, a letter at a time (BREACH). So a response is compressed only when
nothing let its reader in that a browser sends by itself or that is worth guessing: no session's cookie, which
also excludes every page with a form's token, and no API key. What is left is static files, the documentation,
free times and the visitors' pages. Their only secrets are those of their own address, which whoever can have
such a page loaded knows already.
"""

import hashlib
import mimetypes
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from flask import Flask, Response, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.wrappers import Response as AnyResponse

from calapp.errors import NotFound

TYPES = frozenset(
    ("text/html", "text/css", "text/javascript", "application/json", "image/svg+xml", "text/markdown")
)
SHORTEST = 1000  # bytes; less is one packet anyway
LEVEL = 5  # a tenth larger than the best, in half of its time
FOREVER = "public, max-age=31536000, immutable"
TAG = re.compile(r"\.([0-9a-f]{10})(?=\.[a-z0-9]+$)")
REFERENCE = re.compile(r'(?<=url\(")[^":]+(?="\))')
FOLDER = Path(__file__).parent.parent / "static"
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("text/markdown", ".md")
mimetypes.add_type("text/javascript", ".js")


def packed(data: bytes, level: int = LEVEL) -> bytes:
    """Return bytes as gzip has them, the same every time."""
    packer = zlib.compressobj(level, wbits=31)
    return packer.compress(data) + packer.flush()


def takes_gzip() -> bool:
    """Return whether this request's client can unpack."""
    return request.accept_encodings["gzip"] > 0


def _compress(response: AnyResponse) -> AnyResponse:
    if (
        response.mimetype not in TYPES
        or response.is_streamed
        or "Content-Encoding" in response.headers
        or "ETag" in response.headers
        or response.status_code in {204, 206, 304}
        or session
        or "Authorization" in request.headers
    ):
        return response
    response.vary.add("Accept-Encoding")
    data = response.get_data()
    if len(data) >= SHORTEST and takes_gzip():
        response.set_data(packed(data))
        response.headers["Content-Encoding"] = "gzip"
    return response


@dataclass(frozen=True)
class StaticFile:
    """A file, as it is and compressed, with what its name gets."""

    kind: str
    data: bytes
    gzip: bytes
    tag: str


@lru_cache(maxsize=64)
def _file(name: str, data: bytes) -> StaticFile:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    gzip = packed(data, 9) if kind in TYPES and len(data) >= SHORTEST else b""
    return StaticFile(kind, data, gzip, hashlib.sha256(data).hexdigest()[:10])


@cache
def _of_folder() -> dict[str, StaticFile]:
    """Read the folder; the files that a style sheet names come first, so that it names them by their tags."""
    paths = sorted((one for one in FOLDER.rglob("*") if one.is_file()), key=lambda one: one.suffix == ".css")
    found: dict[str, StaticFile] = {}
    for path in paths:
        name, data = path.relative_to(FOLDER).as_posix(), path.read_bytes()
        if path.suffix == ".css":
            text = data.decode()
            data = REFERENCE.sub(lambda match: _tagged(match[0], found[match[0]].tag), text).encode()
        found[name] = _file(name, data)
    return found


# Files that are made, and change as what they are made of does.
made: dict[str, Callable[[], bytes]] = {}


def _found(name: str) -> StaticFile | None:
    return _file(name, made[name]()) if name in made else _of_folder().get(name)


def _tagged(name: str, tag: str) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{tag}.{ending}"


def prepare_static_files(app: Flask) -> None:
    """Serve the files, and name each by its tag wherever `url_for("static", filename=…)` is asked for.

    Called before what else changes responses, so that they are compressed when all is done.
    """
    app.after_request(_compress)
    app.session_interface = Sessions()
    app.add_url_rule("/static/<path:filename>", endpoint="static", view_func=show)

    @app.url_defaults
    def name_by_tag(endpoint: str, values: dict[str, str]) -> None:
        file = _found(values.get("filename", "")) if endpoint == "static" else None
        if file:
            values["filename"] = _tagged(values["filename"], file.tag)


class Sessions(SecureCookieSessionInterface):
    """Sessions of which static files and the script of other sites know nothing: any cache may keep them."""

    def save_session(self, app: Flask, session: SessionMixin, response: AnyResponse) -> None:
        """Set the session's cookie, and say that the response varies with it, where it does."""
        if request.endpoint not in {"static", "embed.script"}:
            super().save_session(app, session, response)  # type: ignore[arg-type]


def show(filename: str) -> Response:
    """Give a file by its name, with or without a tag."""
    tag = TAG.search(filename)
    return give(TAG.sub("", filename), tag[1] if tag else "")


def give(name: str, tag: str = "", kept: str = "no-cache") -> Response:
    """Give a file, to be kept for a year when it is the one of this tag; else a client asks for changes."""
    file = _found(name)
    if file is None:
        raise NotFound()
    packs = bool(file.gzip) and takes_gzip()
    response = Response(file.gzip if packs else file.data, mimetype=file.kind)
    if packs:
        response.headers["Content-Encoding"] = "gzip"
    if file.gzip:
        response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = FOREVER if tag == file.tag else kept
    response.set_etag(file.tag, weak=True)
    response.make_conditional(request)
    return response
