"""/metrics: what it counts, how often it looks, and who may read it."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from app import create_app
from calapp import __version__, counters
from calapp.accounts.models import User
from calapp.clock import now
from calapp.config import Settings
from calapp.deliveries.engine import Engine
from calapp.errors import Busy
from calapp.event_types.models import EventType
from calapp.mail import Email
from calapp.monitoring import service
from calapp.monitoring.metrics import readings
from calapp.monitoring.service import save_counts
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.conftest import make_user, on_both_databases
from tests.monitoring.rows import deliveries
from tests.receiver import Receiver, answer

TOKEN = "a-token-of-some-length"
DELIVERED = ("calapp_delivery_tries_total", "BOOKING_CREATED", "delivered")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    readings.forget()
    counters.take()
    yield
    readings.forget()


def counted(number: int = 1, seconds: float = 0.03, *, status: int = 200) -> None:
    """Count attempts that ended their delivery."""
    failure, ended = ("status", "failed") if status >= 300 else (None, "delivered")
    attempt = counters.CountedAttempt("BOOKING_CREATED", seconds, status, failure, ended)
    counters.count_attempts([attempt] * number)


def book(client: FlaskClient, at: str = "") -> TestResponse:
    """Book the first time that is offered, or another."""
    page = client.get("/rick/quick-chat").text
    start = at or page.split('name="slot" value="')[1].split('"')[0]
    form = {"start": start, "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
    return client.post("/rick/quick-chat", data=form)


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

    def test_what_is_due_is_told_apart_from_retries_to_come(self, client: FlaskClient) -> None:
        deliveries("waiting", 2, due_at=now() - timedelta(seconds=40))
        deliveries("waiting", 3, due_at=now() + timedelta(hours=1))
        found = samples(client)
        assert (found["calapp_waiting", "now"], found["calapp_waiting", "later"]) == (2, 3)

    def test_the_hosts_that_wait_longest_are_named(self, client: FlaskClient) -> None:
        deliveries("waiting", 2, due_at=now() - timedelta(seconds=40))
        assert 39 < samples(client)["calapp_host_oldest_waiting_seconds", "rick"] < 100

    def test_the_ten_hosts_with_the_most_waiting_are_counted(
        self, client: FlaskClient, saved: Callable[..., None]
    ) -> None:
        users = [make_user(f"host{number}") for number in range(12)]
        saved(*users)
        for number, user in enumerate(users):
            hook = Webhook(user_id=user.id, subscriber_url=f"https://hooks.example/{number}", triggers=[])
            saved(hook)
            deliveries("waiting", number + 1, due_at=now() + timedelta(hours=number % 2), of=hook)
        deliveries("parked", 20)
        found = {key[1]: count for key, count in samples(client).items() if key[0] == "calapp_host_waiting"}
        assert found == {f"host{number}": number + 1 for number in range(2, 12)}

    def test_o14_emails_that_are_not_sent_are_counted_by_state(
        self, client: FlaskClient, rick: User, saved: Callable[..., None]
    ) -> None:
        fields = {"user_id": rick.id, "recipient": "ada@example.com", "subject": "Hello", "body": "Text"}
        saved(Email(**fields, due_at=now()), Email(**fields, due_at=now(), attempts=2))
        saved(Email(**fields, parked_at=now()), Email(**fields, sent_at=now(), attempts=1))
        found = samples(client)
        states = ("waiting", "retrying", "parked")
        assert [found["calapp_mails", state] for state in states] == [1, 1, 1]

    def test_the_server_says_what_it_is_and_how_much_room_it_has(self, client: FlaskClient) -> None:
        found = samples(client)
        assert found["calapp_info", platform.python_version(), __version__] == 1
        assert found["calapp_data_folder_free_bytes",] > 0
        assert found["calapp_database_writable",] == 1
        assert found["process_resident_memory_bytes",] > 0

    def test_attempts_are_counted_by_event_and_outcome(self, client: FlaskClient) -> None:
        counted(3)
        counted(2, status=503)
        save_counts()
        found = samples(client)
        assert found[DELIVERED] == 3
        assert found["calapp_delivery_tries_total", "BOOKING_CREATED", "http_5xx"] == 2
        assert found["calapp_deliveries_finished_total", "BOOKING_CREATED", "failed"] == 2

    def test_the_time_of_attempts_is_a_histogram(self, client: FlaskClient) -> None:
        counted(2)
        counted(seconds=0.7)
        save_counts()
        found = samples(client)
        assert found["calapp_delivery_seconds_bucket", "0.05"] == 2
        assert found["calapp_delivery_seconds_bucket", "1.0"] == 3
        assert found["calapp_delivery_seconds_sum",] == pytest.approx(0.76)

    def test_a_booking_is_counted_with_its_event_and_its_attempt(
        self,
        client: FlaskClient,
        rick: User,
        quick_chat: EventType,
        saved: Callable[..., None],
        settings: Settings,
    ) -> None:
        with Receiver(answer("500 No")) as receiver:
            triggers = [str(one) for one in OF_BOOKINGS]
            saved(Webhook(user_id=rick.id, subscriber_url=receiver.url(), triggers=triggers))
            assert book(client).status_code == 303
            engine = Engine(settings)
            engine.deliver()
            engine.sender.close()
        save_counts()
        found = samples(client)
        assert found["calapp_bookings_total",] == 1
        assert found["calapp_events_total", "BOOKING_CREATED"] == 1
        assert found["calapp_delivery_tries_total", "BOOKING_CREATED", "http_5xx"] == 1

    def test_a_booking_that_was_refused_is_not_counted(
        self, client: FlaskClient, quick_chat: EventType
    ) -> None:
        assert [book(client, at).status_code for at in ("", "2020-01-01T09:00:00Z")] == [303, 409]
        save_counts()
        assert samples(client)["calapp_bookings_total",] == 1

    def test_what_could_not_be_saved_is_counted_later(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counted(3)
        with monkeypatch.context() as patch:
            patch.setattr(service, "add_counts", Mock(side_effect=Busy()))
            with pytest.raises(Busy):
                save_counts()
        save_counts()
        assert samples(client)[DELIVERED] == 3


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
