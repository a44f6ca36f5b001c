"""Compression of responses: of what everybody may read, never of secrets.

Who sees the length of a compressed page and can put text into it learns what else is in it, a letter at a
time (BREACH). So a response is compressed only when nothing let its reader in that a browser sends by itself
or that is worth guessing: no session's cookie, which also excludes every page with a form's token, and no API
key. What is left is static files, the documentation, free times and the visitors' pages. Their only secrets
are those of their own address, which whoever can have such a page loaded knows already.
"""

import zlib

from flask import Flask, request, session
from werkzeug.wrappers import Response

TYPES = frozenset(
    ("text/html", "text/css", "text/javascript", "application/json", "image/svg+xml", "text/markdown")
)
SHORTEST = 1000  # bytes; less is one packet anyway
LEVEL = 5  # a tenth larger than the best, in half of its time


def packed(data: bytes, level: int = LEVEL) -> bytes:
    """Return bytes as gzip has them, the same every time."""
    packer = zlib.compressobj(level, wbits=31)
    return packer.compress(data) + packer.flush()


def takes_gzip() -> bool:
    """Return whether this request's client can unpack."""
    return request.accept_encodings["gzip"] > 0


def prepare_compression(app: Flask) -> None:
    """Compress responses of this app; called first, so that it sees what all others have made of them."""
    app.after_request(_compress)


def _compress(response: Response) -> Response:
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
