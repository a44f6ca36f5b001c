"""Lines of the log, for people or as JSON for programs, on standard error.

A line says ids and numbers. What a visitor or a receiver said, secrets, tokens and the values of a query are
never in one.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from calapp.clock import iso_milliseconds
from calapp.config import Settings
from calapp.text import clean
from calapp.tracing import CURRENT

SHOWN = 8  # characters of a booking's uid: enough to find it, not enough to open its page
REQUEST: ContextVar[str] = ContextVar("request", default="")  # the id of the request that is answered

NOTHING = (None, "")
QUOTED = re.compile('[ "=]')
FOREIGN = ("gunicorn.error", "gunicorn.access")  # which bring handlers of their own


class Lines(logging.Formatter):
    """A record as text, in lines: `12:00:07 web info: request method=GET route=/login status=200`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with what it was told to carry and the traceback of an error."""
        message = record.getMessage()
        if (
            not message.isprintable()
        ):  # nobody's text in it may pass for a line of the log, or steer a terminal
            message = json.dumps(message)[1:-1]
        at = f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S}"
        start = f"{at} {self.process} {record.levelname.lower()}: {message}"
        lines = [
            start
            + "".join([f" {name}={_word(value)}" for name, value in said.items() if value not in NOTHING])
            for said in _said(record)
        ]
        if record.exc_info:
            lines += [f"  {line}" for line in clean(_traceback(self, record)).split("\n")]
        return "\n".join(lines)


class JsonLines(Lines):
    """A record as JSON objects, each in a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with what it was told to carry and the traceback of an error."""
        made = {
            "time": iso_milliseconds(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        last = {"traceback": _traceback(self, record)} if record.exc_info else {}
        return "\n".join(
            json.dumps(
                made | {name: value for name, value in said.items() if value not in NOTHING} | last,
                default=str,
            )
            for said in _said(record)
        )


def _said(record: logging.LogRecord) -> Sequence[Mapping[str, Any]]:
    """Return what each line of a record carries; a field that is None or empty is left out."""
    each: Sequence[Mapping[str, Any]] = getattr(record, "each", None) or [getattr(record, "said", {})]
    return [{**_of_request(), **said} for said in each] if REQUEST.get() else each


def _of_request() -> dict[str, object]:
    """Return the ids of the request that is answered and of its trace."""
    trace = CURRENT.get()
    return {"request": REQUEST.get(), "trace_id": trace.trace_id if trace else None}


def _word(value: object) -> str:
    if value.__class__ is int or value.__class__ is float:
        return str(value)
    text = value if value.__class__ is str else str(value)
    if text.isalnum() or text.isidentifier():  # most are, and to ask so costs least
        return text
    return json.dumps(text) if not text.isprintable() or QUOTED.search(text) else text


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback without PostgreSQL's lines that repeat a row's values."""
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(line for line in text.split("\n") if not line.startswith("DETAIL:"))


def say(log: logging.Logger, what: str, **said: object) -> None:
    """Log what happened, with ids and numbers; a field that is None or empty is left out."""
    if log.isEnabledFor(logging.INFO):
        log.info(what, extra={"said": {**_of_request(), **said}})


def say_each(log: logging.Logger, what: str, each: Sequence[Mapping[str, object]]) -> None:
    """Log what happened several times: a line for each, but in one piece, which costs a fraction."""
    if each and log.isEnabledFor(logging.INFO):
        log.info(what, extra={"each": each})


def shortened(uid: str) -> str:
    """Return the beginning of a booking's uid, since whoever has all of it may cancel the booking."""
    return uid[:SHOWN]


def configure(settings: Settings, process: str) -> None:
    """Write what this process logs as the settings want it; `process` is web, worker or start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((JsonLines if settings.log_format == "json" else Lines)(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("calapp").setLevel(settings.log_level.upper())
    for name in FOREIGN:
        foreign = logging.getLogger(name)
        foreign.handlers[:] = []
        foreign.propagate = True
