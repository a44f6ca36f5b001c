"""The integrations page above its webhooks: banner, notices, first steps, feed, keys, embed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import ApiKey, User
from calapp.bookings.models import Attendee, Booking, Status
from calapp.clock import now
from calapp.config import Settings
from calapp.deliveries.models import Attempt, Delivery, Event
from calapp.event_types.models import EventType
from calapp.integrations import views
from calapp.webhooks.models import Webhook
from tests.integrations.conftest import HTMX


@pytest.mark.parametrize(
    ("refusal", "workers", "words"),
    [(None, 0, "make run"), ("OOM", 0, "make run"), ("", 0, "flask worker"), ("", 1, "")],
)
def test_a_banner_names_the_command_that_cures(
    rick_client: FlaskClient, monkeypatch: pytest.MonkeyPatch, refusal: str | None, workers: int, words: str
) -> None:
    monkeypatch.setattr(views, "refusal", lambda: refusal)
    monkeypatch.setattr(views, "workers_alive", lambda: workers)
    page = rick_client.get("/integrations").text
    assert ("Nothing is lost" in page) == bool(words)
    assert words in page


@pytest.mark.parametrize("alive", [False, True])
def test_an_outside_queue_is_looked_at_by_its_own_address(
    rick_client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    monkeypatch.setattr(views, "settings", lambda: replace(settings, redis_url="redis://queue.example:6379"))
    monkeypatch.setattr(views, "refusal", lambda: "" if alive else None)
    monkeypatch.setattr(views, "workers_alive", lambda: 0)
    page = rick_client.get("/integrations").text
    assert ("valkey-cli" in page, "flask worker" in page) == (not alive, alive)
    assert "make run" not in page
    assert "queue.example" not in page


@pytest.mark.parametrize("address", ["api-keys/1/revoke", "calendar/renew", "webhooks/1/delete"])
def test_a_form_on_a_page_of_its_own_leads_back(
    rick_client: FlaskClient, rick: User, webhook: Webhook, saved: Callable[..., None], address: str
) -> None:
    saved(ApiKey(user_id=rick.id, name="n8n", key_hash="0" * 64, hint="cal_0000", scopes=["read"]))
    own = {**HTMX, "HX-Current-URL": f"http://localhost/integrations/{address}"}
    list_page = {**HTMX, "HX-Current-URL": "http://localhost/integrations?page=2#webhooks"}
    assert (
        rick_client.post(f"/integrations/{address}", headers=own)
        .headers["HX-Redirect"]
        .startswith("/integrations#")
    )
    assert "HX-Redirect" not in rick_client.post(f"/integrations/{address}", headers=list_page).headers


def test_webhooks_stand_at_the_bottom_of_the_page(rick_client: FlaskClient, quick_chat: EventType) -> None:
    page = rick_client.get("/integrations").text
    order = [page.index(f'id="{name}"') for name in ("calendar", "api-keys", "embed", "webhooks")]
    assert order == sorted(order)
    assert page.index("New Webhook") > order[-1]


def test_the_empty_page_offers_the_inspector(rick_client: FlaskClient, session: Session) -> None:
    assert "No webhooks yet" in rick_client.get("/integrations").text
    for _ in range(2):
        rick_client.post("/integrations/webhooks/inspector")
    webhook = session.scalars(select(Webhook)).one()
    assert "/hooks/in/" in webhook.subscriber_url
    assert webhook.secret.startswith("whsec_")


def test_the_first_steps_can_be_put_away(rick_client: FlaskClient) -> None:
    assert "See a webhook arrive" in rick_client.get("/integrations").text
    rick_client.post("/integrations/checklist")
    assert "See a webhook arrive" not in rick_client.get("/integrations").text


def test_the_calendar_feed_has_upcoming_bookings_and_a_new_address(
    rick: User,
    rick_client: FlaskClient,
    quick_chat: EventType,
    saved: Callable[..., None],
    client: FlaskClient,
) -> None:
    saved(_booking(rick, quick_chat))
    old = f"/calendar/{rick.calendar_token}.ics"
    feed = client.get(old)
    assert feed.mimetype == "text/calendar"
    assert "SUMMARY:Quick chat between Rick and Bob" in feed.text
    for text in ("REFRESH-INTERVAL;VALUE=DURATION:PT1H", "X-PUBLISHED-TTL:PT1H", "\nNAME:Bookings of Rick"):
        assert text in feed.text
    for name, value in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        assert client.get(old, headers={name: feed.headers[value]}).status_code == 304
    rick_client.post("/integrations/calendar/renew")
    assert client.get(old).status_code == 404


def _booking(host: User, event_type: EventType) -> Booking:
    starts_at = now() + timedelta(days=1)
    return Booking(
        uid="abc",
        chain="abc",
        host_id=host.id,
        event_type_id=event_type.id,
        status=Status.ACCEPTED,
        title="Quick chat between Rick and Bob",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=15),
        time_zone="Europe/Berlin",
        attendees=[Attendee(position=0, name="Bob", email="bob@example.com", time_zone="UTC")],
    )


def test_an_api_key_is_shown_once(rick_client: FlaskClient) -> None:
    made = rick_client.post("/integrations/api-keys/new", data={"name": "n8n", "scopes": ["read", "write"]})
    assert 'value="cal_' in made.text
    page = rick_client.get("/integrations").text
    assert "n8n" in page
    assert 'value="cal_' not in page


def test_a_key_without_a_name_or_scope_is_refused_at_the_fields(rick_client: FlaskClient) -> None:
    answer = rick_client.post("/integrations/api-keys/new", data={"name": "", "scopes": ["everything"]})
    assert answer.status_code == 422
    assert "Please enter a name" in answer.text
    assert "Please choose what the key may do." in answer.text


def test_only_its_owner_revokes_a_key(
    rick_client: FlaskClient, bob_client: FlaskClient, session: Session
) -> None:
    rick_client.post("/integrations/api-keys/new", data={"name": "n8n", "scopes": ["read"]})
    key = session.scalars(select(ApiKey)).one()
    address = f"/integrations/api-keys/{key.id}/revoke"
    assert bob_client.post(address).status_code == 404
    answer = rick_client.post(address, headers=HTMX)
    assert answer.headers["HX-Retarget"] == "#api-keys"
    session.refresh(key)
    assert key.revoked_at is not None


@pytest.mark.parametrize("kind", ["inline", "popup", "floating", "frame"])
@pytest.mark.parametrize("theme", ["auto", "dark"])
def test_the_embed_code_names_the_booking_page(
    rick_client: FlaskClient, quick_chat: EventType, kind: str, theme: str
) -> None:
    query = {"kind": kind, "theme": theme, "event_type": "quick-chat"}
    code = unescape(rick_client.get("/integrations/embed", query_string=query, headers=HTMX).text)
    assert "rick/quick-chat" in code
    assert (("/embed/embed.js" in code), ("<iframe" in code)) == (kind != "frame", kind == "frame")
    assert ("dark" in code.partition("<textarea")[2]) == (theme == "dark")


@pytest.mark.parametrize("query", ["", "event_type=nothing&kind=<b>&theme=x", "event_type="])
def test_the_embed_card_shows_something_for_every_choice(
    rick_client: FlaskClient, quick_chat: EventType, query: str
) -> None:
    answer = rick_client.get(f"/integrations/embed?{query}")
    assert answer.status_code == 200
    assert 'Cal("inline"' in unescape(answer.text)
    assert ("rick/quick-chat" in answer.text) == (query == "")


def test_the_embed_code_has_the_clock_that_was_chosen(
    rick_client: FlaskClient, quick_chat: EventType
) -> None:
    code = unescape(rick_client.get("/integrations/embed?tf=12&theme=dark&kind=frame", headers=HTMX).text)
    assert "/rick/quick-chat/embed?theme=dark&tf=12" in code
    assert "kind=frame&theme=dark&tf=12#preview" in code


def test_without_an_event_type_there_is_nothing_to_embed(rick_client: FlaskClient) -> None:
    for address in ("/integrations", "/integrations/embed"):
        assert "There are no event types to embed yet." in rick_client.get(address).text


def test_the_embed_card_offers_hidden_event_types_and_says_so(
    rick_client: FlaskClient, quick_chat: EventType, change
) -> None:
    change(quick_chat, hidden=True)
    assert "Quick chat (hidden)" in rick_client.get("/integrations").text


@pytest.mark.parametrize("failing", [False, True])
def test_health_sums_up_the_last_day_and_names_what_still_fails(
    rick: User,
    rick_client: FlaskClient,
    webhook: Webhook,
    saved: Callable[..., None],
    change: Callable[..., None],
    *,
    failing: bool,
) -> None:
    if failing:
        since = now() - timedelta(hours=4)
        change(webhook, first_failed_at=since, unhealthy_since=since)
    event = Event(
        uid="evt_1", user_id=rick.id, number=1, trigger="BOOKING_CREATED", chain="a", sequence=1, subject="a"
    )
    saved(event)
    delivery = Delivery(event_id=event.id, webhook_id=webhook.id, chain="a")
    saved(delivery)
    words = "No answer within 15 s."
    for number, failure in enumerate([None, None, words], 1):
        saved(
            Attempt(
                delivery_id=delivery.id,
                webhook_id=webhook.id,
                number=number,
                at=now() - timedelta(hours=number),
                failure=failure,
                total_ms=10.0 * number,
            )
        )
    fragment = rick_client.get("/integrations/webhooks/health", headers=HTMX).text
    assert "2 delivered" in fragment
    assert "1 failed" in fragment
    assert "p50 10 ms · p99 20 ms" in fragment
    assert (words in fragment) is failing
