"""The request as the app sees it: what was typed is clean text, and nothing in an address stops a page."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import flask
from werkzeug.datastructures import ImmutableMultiDict

from calapp.text import clean, storable

# Fields that are taken as they were typed, and checked where they are read.
VERBATIM = frozenset(
    (
        "password",
        "current_password",
        "new_password",
        "secret",
        "payload_template",
        "subscriber_url",
        "header_name",
        "header_value",
    )
)
NOT_ASCII = re.compile("[\x80-\xff]")


class Fields(ImmutableMultiDict[str, Any]):
    """The fields of a query or a form, their names and texts clean."""

    def __init__(self, mapping: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        if isinstance(mapping, Fields | None):
            super().__init__(mapping)
            return
        pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
        super().__init__([_cleaned(name, value) for name, value in pairs])


def _cleaned(name: str, value: Any) -> tuple[str, Any]:
    name = clean(name)
    if not isinstance(value, str):  # a file
        return name, value
    return name, storable(value) if name in VERBATIM else clean(value)


class Request(flask.Request):
    """A request whose path has no NUL, and whose query may hold any bytes."""

    parameter_storage_class = Fields

    def __init__(self, environ: dict[str, Any], *args: Any, **more: Any) -> None:
        environ["PATH_INFO"] = environ.get("PATH_INFO", "").replace("\0", "")
        # Raw bytes stand for themselves percent-encoded; Werkzeug would want them to be UTF-8.
        query = environ.get("QUERY_STRING", "")
        environ["QUERY_STRING"] = NOT_ASCII.sub(lambda match: f"%{ord(match[0]):02X}", query)
        super().__init__(environ, *args, **more)
