"""/metrics: what it counts, how often it looks, and who may read it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete

from app import create_app
from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries.models import Attempt
from calapp.monitoring import service
from calapp.monitoring.metrics import readings
from tests.conftest import on_both_databases
from tests.monitoring.rows import deliveries, tries

TOKEN = "a-token-of-some-length"
DELIVERED = ("calapp_delivery_tries_total", "BOOKING_CREATED", "delivered")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    readings.forget()
    yield
    readings.forget()


def counted() -> None:
    """Count as the worker's sweep does: what one look has seen, the next one counts."""
    for _ in range(2):
        with transaction() as session:
            service.count_new(session)


def samples(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels."""
    readings.forget()
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


@on_both_databases
class TestWhatIsCounted:
    def test_what_waits_and_is_parked_is_told_by_age(self, client: FlaskClient) -> None:
        for minutes in (5000, 3000, 300, 30):
            deliveries("parked", created_at=now() - timedelta(minutes=minutes))
        deliveries("waiting", 3)
        found = samples(client)
        assert found["calapp_deliveries", "under a minute", "waiting"] == 3
        assert found["calapp_deliveries", "a day or more", "parked"] == 2
        assert found["calapp_deliveries", "under an hour", "parked"] == 1

    def test_tries_are_counted_by_event_and_outcome(self, client: FlaskClient) -> None:
        tries(deliveries("delivered", 3), status=200)
        tries(deliveries("failed", 2), status=503, failure_code="status", failure="…")
        counted()
        found = samples(client)
        assert found[DELIVERED] == 3
        assert found["calapp_delivery_tries_total", "BOOKING_CREATED", "http_5xx"] == 2
        assert found["calapp_deliveries_finished_total", "BOOKING_CREATED", "failed"] == 2
        assert found["calapp_events_total", "BOOKING_CREATED"] == 5

    def test_the_time_of_tries_is_a_histogram(self, client: FlaskClient) -> None:
        tries(deliveries("delivered", 2), status=200, total_ms=30.0)
        tries(deliveries("delivered"), status=200, total_ms=700.0)
        counted()
        found = samples(client)
        assert found["calapp_delivery_seconds_bucket", "0.05"] == 2
        assert found["calapp_delivery_seconds_bucket", "1.0"] == 3
        assert found["calapp_delivery_seconds_sum",] == pytest.approx(0.76)

    def test_rows_are_counted_once_however_often_it_looks(self, client: FlaskClient) -> None:
        tries(deliveries("delivered", 3), status=200)
        for _ in range(3):
            counted()
        assert samples(client)[DELIVERED] == 3

    def test_a_counter_outlives_the_rows_that_it_counted(self, client: FlaskClient) -> None:
        first = deliveries("delivered")
        tries(first, status=200)
        counted()
        with transaction() as session:
            session.execute(delete(Attempt))
        counted()
        tries(first, status=200)
        counted()
        assert samples(client)[DELIVERED] == 2

    def test_more_rows_than_a_step_are_counted_in_steps(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "STEP", 2)
        tries(deliveries("delivered", 5), status=200)
        for _ in range(3):
            counted()
        assert samples(client)[DELIVERED] == 5


def test_nothing_new_is_known_without_a_write(app: Flask) -> None:
    tries(deliveries("delivered"), status=200)
    counted()
    with transaction() as session:
        assert not service.anything_new(session)


def test_requests_are_counted_by_their_rule_not_their_address(client: FlaskClient) -> None:
    client.get("/calendar/a-token-that-nobody-has.ics")
    assert samples(client)["calapp_requests_total", "GET", "/calendar/<token>.ics", "404"] >= 1


def test_a_method_of_somebodys_own_makes_no_counter_of_its_own(client: FlaskClient) -> None:
    client.open("/login", method="BREW")
    found = samples(client)
    assert "other" in {name[1] for name in found if name[0] == "calapp_requests_total"}
    assert not any("BREW" in name for name in found)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_comes_through_a_proxy_does_not_read_metrics(client: FlaskClient, name: str) -> None:
    assert client.get("/metrics", headers={name: "127.0.0.1"}).status_code == 404


def test_another_machine_does_not_read_metrics(client: FlaskClient) -> None:
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 404


def test_a_page_that_turned_its_name_to_loopback_does_not_read_metrics(client: FlaskClient) -> None:
    assert client.get("/metrics", headers={"Host": "evil.example"}).status_code == 404


def test_a_public_server_gives_metrics_to_nobody_without_a_token(settings: Settings, app: Flask) -> None:
    public = create_app(replace(settings, base_url="https://cal.example.com"))
    assert public.test_client().get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("given", "status"), [(f"Bearer {TOKEN}", 200), ("Bearer another", 401), ("", 401), (TOKEN, 401)]
)
def test_a_token_is_the_way_in_from_anywhere(settings: Settings, app: Flask, given: str, status: int) -> None:
    public = create_app(replace(settings, base_url="https://cal.example.com", metrics_token=TOKEN))
    far = {"REMOTE_ADDR": "192.0.2.7"}
    headers = {"Authorization": given} if given else {}
    answer = public.test_client().get("/metrics", headers=headers, environ_base=far)
    assert answer.status_code == status
