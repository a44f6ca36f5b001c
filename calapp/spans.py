"""Spans of requests and attempts for OpenTelemetry, exported by OTLP where that is wanted.

It is wanted where OTEL_EXPORTER_OTLP_ENDPOINT is set and the package is installed, which Calapp does not
need: `opentelemetry-exporter-otlp-proto-http`. The exporter reads its other settings from the environment by
itself, such as OTEL_EXPORTER_OTLP_HEADERS. A thread sends spans in batches; what cannot be sent is lost.
"""

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from calapp import __version__
from calapp.config import settings
from calapp.tracing import NO_SPAN, Trace

PACKAGE = "opentelemetry-exporter-otlp-proto-http"

log = logging.getLogger(__name__)


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
