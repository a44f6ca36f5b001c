"""The trace that a request, the events it causes and their deliveries belong to.

Source: W3C Trace Context level 1, https://www.w3.org/TR/trace-context-1/. The log has the ids, and receivers
get the two headers; `spans` exports spans where that is wanted.
"""

import hashlib
import re
import secrets
from contextvars import ContextVar
from typing import NamedTuple

# A version, a trace, the caller's span and flags; a later version may have more behind them.
PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16
SAMPLED = 0x01  # the only flag that level 1 knows; the others are not passed on
# An entry of tracestate: a vendor, perhaps of a tenant, and its value, which does not end with a space.
ENTRY = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
MOST_ENTRIES = 32
LONGEST_STATE = 512  # characters that are passed on; long entries are dropped first, then the last
LONG_ENTRY = 128


class Trace(NamedTuple):
    """A place in a trace: its id, the span that is the parent of what follows, and what vendors add."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    sampled: bool
    state: str = ""  # the value of tracestate
    parent_id: str = ""  # the span above this one, where it is known

    @property
    def traceparent(self) -> str:
        """The value of the header of that name."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self, span_id: str) -> "Trace":
        """Return the place of a span below this one."""
        return self._replace(span_id=span_id, parent_id=self.span_id)


CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)  # of the request that is answered


def read(traceparent: str, tracestate: str = "") -> Trace | None:
    """Return the trace that two headers name, or None when `traceparent` is not valid."""
    found = PARENT.fullmatch(traceparent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or trace_id == NO_TRACE or span_id == NO_SPAN or (version == "00" and more):
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & SAMPLED), read_state(tracestate))


def read_state(tracestate: str) -> str:
    """Return what of a `tracestate` is passed on; nothing when any of it is not valid."""
    entries = [entry for entry in (part.strip(" \t") for part in tracestate.split(",")) if entry]
    keys = {entry.partition("=")[0] for entry in entries}
    if len(entries) > MOST_ENTRIES or len(keys) < len(entries):
        return ""
    if not all(ENTRY.fullmatch(entry) for entry in entries):
        return ""
    if len(",".join(entries)) > LONGEST_STATE:
        entries = [entry for entry in entries if len(entry) <= LONG_ENTRY]
    while len(",".join(entries)) > LONGEST_STATE:
        entries.pop()
    return ",".join(entries)


def new() -> Trace:
    """Begin a trace, sampled, since the log has it and many receivers record only what is."""
    return Trace(secrets.token_hex(16), secrets.token_hex(8), sampled=True)


def current() -> Trace:
    """Return the trace of the request that is answered; outside one, a new trace."""
    return CURRENT.get() or new()


def of_event(uid: str, traceparent: str | None, state: str | None) -> Trace:
    """Return an event's trace as it is stored; of an event without, one made of its uid, always the same."""
    found = read(traceparent, state or "") if traceparent else None
    return found or Trace(hashlib.sha256(uid.encode()).hexdigest()[:32], NO_SPAN, sampled=True)


def attempt_span(trace_id: str, delivery_id: int, number: int) -> str:
    """Return the id of an attempt's span, which nobody has to store."""
    return hashlib.sha256(f"{trace_id}/{delivery_id}/{number}".encode()).hexdigest()[:16]
