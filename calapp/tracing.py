"""The trace that a request, the events it causes and their deliveries belong to, and its spans.

Source: W3C Trace Context level 1, https://www.w3.org/TR/trace-context-1/. The log has the ids, and receivers
get the two headers.

Spans of requests and attempts are exported by OTLP where OTEL_EXPORTER_OTLP_ENDPOINT is set and the package
is installed, which Calapp does not need: `opentelemetry-exporter-otlp-proto-http`. The exporter reads its
other settings from the environment by itself, such as OTEL_EXPORTER_OTLP_HEADERS. A thread sends spans in
batches; what cannot be sent is lost.
"""

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from calapp import __version__
from calapp.config import settings

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
PACKAGE = "opentelemetry-exporter-otlp-proto-http"
log = logging.getLogger(__name__)


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
        return Trace(self.trace_id, span_id, self.sampled, self.state, parent_id=self.span_id)


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


def are_exported() -> bool:
    """Return whether this process exports spans."""
    return bool(settings().otel_exporter_otlp_endpoint) and _processor() is not None


def export(
    name: str,
    trace: Trace,
    ended: datetime,
    seconds: float,
    *,
    client: bool = False,
    failed: bool = False,
    attributes: Mapping[str, str | int],
) -> None:
    """Export a span, if spans are exported: of what we asked others (`client`), or of what we were asked.

    Its ids are those in our headers and log. One that is not sampled is dropped by the processor.
    """
    if not are_exported():
        return
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 (where it is installed)
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415

    end = round(ended.timestamp() * 1e9)
    known = trace.parent_id and trace.parent_id != NO_SPAN
    _processor().on_end(
        ReadableSpan(
            name,
            _context(trace, trace.span_id),
            _context(trace, trace.parent_id) if known else None,
            _resource(),
            attributes,
            kind=SpanKind.CLIENT if client else SpanKind.SERVER,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=end - round(seconds * 1e9),
            end_time=end,
        )
    )


def _context(trace: Trace, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 (where it is installed)

    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), False, flags)  # noqa: FBT003


@cache
def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (where it is installed)

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have precedence.
    name = os.environ.get("OTEL_SERVICE_NAME", "calapp")
    return Resource.create({"service.name": name, "service.version": __version__})


@cache
def _processor() -> Any:
    """Return what this process exports by, made when first needed: after a fork; None without the package."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no spans are exported: install %s", PACKAGE)
        return None
    endpoint = settings().otel_exporter_otlp_endpoint.rstrip("/")
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"))
