"""Static files under names that change with what they hold, so that a browser keeps each for a year.

/static/app.css is /static/app.0123456789.css to a page, and is compressed once. A name of another version, as
a page has it that was open during an upgrade, gets the file of this version, which is not kept.
"""

import hashlib
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.wrappers import Response as AnyResponse

from calapp.compression import SHORTEST, TYPES, packed, takes_gzip
from calapp.errors import NotFound

FOLDER = Path(__file__).parent.parent / "static"
FOREVER = "public, max-age=31536000, immutable"
TAG = re.compile(r"\.([0-9a-f]{10})(?=\.[a-z0-9]+$)")
REFERENCE = re.compile(r'(?<=url\(")[^":]+(?="\))')
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("text/markdown", ".md")
mimetypes.add_type("text/javascript", ".js")


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
    """Serve the files, and name each by its tag wherever `url_for("static", filename=…)` is asked for."""
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
