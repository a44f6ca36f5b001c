"""Spans by OTLP, of a request and its delivery: where it is wanted and OpenTelemetry is installed."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec

import pytest
from flask.testing import FlaskClient

from calapp import tracing
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.deliveries.engine import Engine
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.receiver import OK, Receiver

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INSTALLED = bool(find_spec("opentelemetry") and find_spec("opentelemetry.exporter"))


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """What spans are sent to, as if nothing had been exported yet in this process."""
    with Receiver(OK) as listening:
        tracing._processor.cache_clear()
        yield listening
        tracing._processor.cache_clear()


@pytest.fixture
def settings(settings: Settings, collector: Receiver) -> Settings:
    return replace(settings, otel_exporter_otlp_endpoint=collector.url("/"))


@pytest.fixture
def book(client: FlaskClient, quick_chat: EventType) -> Callable[..., None]:
    """Return a function by which a visitor books, with headers."""

    def post(**headers: str) -> None:
        page = client.get("/rick/quick-chat").text
        start = page.split('name="slot" value="')[1].split('"')[0]
        form = {"start": start, "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
        assert client.post("/rick/quick-chat", data=form, headers=headers).status_code == 303

    return post


@pytest.mark.skipif(not INSTALLED, reason=f"{tracing.PACKAGE} is not installed")
def test_a_request_and_its_attempt_are_spans_with_the_ids_that_receivers_get(
    book: Callable[..., None],
    rick: User,
    settings: Settings,
    saved: Callable[..., None],
    collector: Receiver,
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    with Receiver() as receiver:
        saved(Webhook(user_id=rick.id, subscriber_url=receiver.url(), triggers=["BOOKING_CREATED"]))
        book(traceparent=f"00-{TRACE}-{CALLER}-01")
        engine = Engine(settings)
        engine.deliver()
        engine.sender.close()
        told = tracing.read(receiver.requests[0].headers["traceparent"])
    processor = tracing._processor()
    processor.force_flush()
    processor.shutdown()
    exported = {}
    for request in collector.requests:
        assert request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            for scope in resource.scope_spans:
                exported |= {span.name: span for span in scope.spans}
    request, attempt = exported["POST /<user>/<slug>"], exported["deliver BOOKING_CREATED"]
    assert request.trace_id.hex() == attempt.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == CALLER
    assert attempt.parent_span_id == request.span_id
    assert attempt.span_id.hex() == told.span_id
    assert "ada@example.com" not in str(exported)


def test_nothing_is_exported_unless_it_is_wanted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "settings", lambda: replace(settings, otel_exporter_otlp_endpoint=""))
    assert not tracing.are_exported()


@pytest.mark.skipif(INSTALLED, reason="OpenTelemetry is installed")
def test_a_wish_for_spans_without_the_package_is_answered_once_in_the_log(
    book: Callable[..., None], collector: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "calapp.tracing"):
        book()
    assert [record.message for record in caplog.records if record.name == "calapp.tracing"] == [
        f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but no spans are exported: install {tracing.PACKAGE}"
    ]
    assert collector.requests == []
