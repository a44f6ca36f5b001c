"""The names of headers that are not a host's to set."""

import re
from functools import lru_cache

# What we send ourselves, what belongs to one connection and not to the message, and what tracing sets.
RESERVED_HEADERS = frozenset((
    "accept-encoding", "connection", "content-encoding", "content-length", "content-range", "content-type",
    "expect", "host", "http2-settings", "keep-alive", "te", "trailer", "traceparent", "tracestate",
    "transfer-encoding", "upgrade", "user-agent",
))  # fmt: skip
RESERVED_STARTS = ("webhook-", "x-cal-", "x-calapp-", "proxy-")
ODD_IN_NAMES = re.compile(r"[^a-z0-9]")


def plain_name(name: str) -> str:
    """Return a header's name as CGI, WSGI and PHP see it: case and the kind of hyphen do not count."""
    return ODD_IN_NAMES.sub("-", name.lower())


@lru_cache(maxsize=1024)
def is_reserved(name: str) -> bool:
    """Return whether a receiver could take a header of this name for one of ours, or of HTTP's own."""
    plain = plain_name(name)
    return plain in RESERVED_HEADERS or plain.startswith(RESERVED_STARTS)
