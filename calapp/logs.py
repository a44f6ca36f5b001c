"""Lines of the log, for people or as JSON for programs, on standard error.

A line says ids and numbers. What a visitor or a receiver said, secrets, tokens and the values of a query are
never in one.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from calapp.config import Settings

SHOWN = 8  # characters of a booking's uid: enough to find it, not enough to open its page
REQUEST: ContextVar[str] = ContextVar("request", default="")  # the id of the request that is answered

FOREIGN = ("gunicorn.error", "gunicorn.access")  # which bring handlers of their own


class Lines(logging.Formatter):
    """One record as text: `12:00:07 web info: request method=GET route=/login status=200`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with what it was told to carry and the traceback of an error."""
        values = "".join(f" {name}={_word(value)}" for name, value in _fields(record).items())
        at = f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S}"
        line = f"{at} {self.process} {record.levelname.lower()}: {record.getMessage()}{values}"
        return f"{line}\n{_traceback(self, record)}" if record.exc_info else line


class Objects(Lines):
    """One record as a JSON object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with what it was told to carry and the traceback of an error."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        made = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            made["traceback"] = _traceback(self, record)
        return json.dumps(made, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    said: dict[str, Any] = getattr(record, "said", {})
    found = {"request": REQUEST.get(), **said}
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text.isprintable() or any(letter in text for letter in ' "=') else text


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback without PostgreSQL's lines that repeat a row's values."""
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(line for line in text.split("\n") if not line.startswith("DETAIL:"))


def say(log: logging.Logger, what: str, **said: object) -> None:
    """Log what happened, with ids and numbers; a field that is None or empty is left out."""
    if log.isEnabledFor(logging.INFO):
        log.info(what, extra={"said": {"request": REQUEST.get(), **said}})


def shortened(uid: str) -> str:
    """Return the beginning of a booking's uid, since whoever has all of it may cancel the booking."""
    return uid[:SHOWN]


def configure(settings: Settings, process: str) -> None:
    """Write what this process logs as the settings want it; `process` is web, worker or start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((Objects if settings.log_format == "json" else Lines)(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("calapp").setLevel(settings.log_level.upper())
    for name in FOREIGN:
        foreign = logging.getLogger(name)
        foreign.handlers[:] = []
        foreign.propagate = True
