"""The log over all webhooks: filters, any id, pages, deleted webhooks, and the page of an event."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from re import findall

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import formatting, log
from calapp.deliveries.models import Attempt, Delivery, Event, State
from calapp.local_time import zone_of
from calapp.webhooks import service
from calapp.webhooks.models import Webhook
from calapp.webhooks.schemas import WebhookPatch
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed

pytestmark = on_both_databases

LOG = "/integrations/deliveries"


@pytest.fixture
def second(rick: User, webhook: Webhook, saved: Callable[..., None]) -> Webhook:
    """Another webhook of the same host, with a name."""
    second = subscribed(rick, "https://hooks.example.com/second", name="Second")
    saved(second)
    return second


def shown(client: FlaskClient, address: str) -> list[int]:
    """Return the ids of the deliveries that a page of the log lists."""
    return [int(number) for number in findall(r'id="delivery-(\d+)"', client.get(address).text)]


def ids(session: Session, *conditions: object) -> list[int]:
    session.rollback()
    query = select(Delivery.id).where(*conditions).order_by(Delivery.id.desc())
    return list(session.scalars(query))


def test_the_log_shows_the_deliveries_of_all_webhooks(rick_client, webhook, second, happen, session) -> None:
    happen()
    assert shown(rick_client, LOG) == ids(session)
    page = rick_client.get(LOG).text
    assert webhook.subscriber_url in page
    assert "Second" in page
    of_second = ids(session, Delivery.webhook_id == second.id)
    assert shown(rick_client, f"{LOG}?webhook={second.id}") == of_second
    assert shown(rick_client, f"/integrations/webhooks/{second.id}/deliveries") == of_second


def test_the_log_is_found_by_every_id_that_a_receiver_has(
    rick_client, webhook, second, happen, session
) -> None:
    wanted, _ = happen("one"), happen("other")
    session.add(wanted)
    both = ids(session, Delivery.event_id == wanted.id)
    for known_as in (wanted.uid, "one", f"  {wanted.uid} "):
        assert shown(rick_client, f"{LOG}?id={known_as}") == both
    assert shown(rick_client, f"{LOG}?id={both[0]}") == both[:1]
    assert shown(rick_client, f"{LOG}?booking=one") == both  # an address of earlier versions
    assert "No matches" in rick_client.get(f"{LOG}?id=evt_unknown").text


def test_the_log_is_filtered_by_state_event_and_text(
    rick_client, webhook, second, happen, session, change
) -> None:
    happen(search="Bob 50%_off")
    happen("two", trigger="BOOKING_CANCELLED")
    first, *_ = ids(session)
    change(session.get_one(Delivery, first), state=State.FAILED, due_at=None)
    assert shown(rick_client, f"{LOG}?state=failed") == [first]
    cancelled = ids(session, Event.id == Delivery.event_id, Event.trigger == "BOOKING_CANCELLED")
    assert shown(rick_client, f"{LOG}?trigger=BOOKING_CANCELLED") == cancelled
    assert len(shown(rick_client, f"{LOG}?text=50%25_OFF")) == 2
    assert shown(rick_client, f"{LOG}?state=nonsense&trigger=nonsense") == ids(session)


def test_the_log_is_filtered_by_a_time_range_in_the_hosts_zone(
    rick_client, rick, webhook, happen, session, change
) -> None:
    change(rick, time_zone="America/New_York")
    happen()
    happen("two")
    newer, older = ids(session)
    change(session.get_one(Delivery, older), created_at=now() - timedelta(days=3))
    local = (now() - timedelta(days=1)).astimezone(zone_of("America/New_York")).strftime("%Y-%m-%dT%H:%M")
    assert shown(rick_client, f"{LOG}?since={local}") == [newer]
    assert shown(rick_client, f"{LOG}?until={local}") == [older]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=yesterday", "Please enter a date and a time."),
        ("until=9999-99-99T00:00", "Please enter a date and a time."),
        ("since=2027-01-05T10:00&until=2027-01-05T09:00", "The end must be after the start."),
        ("until=0001-01-01T00:00", None),
    ],
)
def test_a_time_that_cannot_be_read_is_named_at_its_field_and_stays(
    rick_client, webhook, happen, query: str, words: str | None
) -> None:
    happen()
    page = unescape(rick_client.get(f"{LOG}?{query}&text=bob").text)
    assert page.count("aria-invalid") == (1 if words else page.count("aria-invalid"))
    assert words is None or words in page
    assert query.partition("&")[0].partition("=")[2] in page
    assert 'value="bob"' in page
    assert 'id="delivery-' not in page


def test_the_pages_of_the_log_lead_through_all_webhooks_in_order(
    rick_client, webhook, second, happen, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "TOGETHER", 1)
    monkeypatch.setattr(log.page_of, "__defaults__", (3,))
    for number in range(4):
        happen(f"chain {number}")
    everything, address, seen = ids(session), f"{LOG}?text=", []
    while True:
        page = rick_client.get(address).text
        seen += shown(rick_client, address)
        older = findall(r'href="([^"]*before=\d+)"', page)
        if not older:
            break
        address = unescape(older[0])
    assert seen == everything
    newer = unescape(findall(r'href="([^"]*after=\d+)"', page)[0])
    assert shown(rick_client, newer) == everything[3:6]


def test_d10_the_log_of_a_deleted_webhook_stays_readable(
    rick_client, webhook, second, happen, deliver, session
) -> None:
    happen()
    deliver()
    with transaction() as writing:
        service.delete(writing.get_one(Webhook, webhook.id))
    page = rick_client.get(LOG).text
    assert "Deleted webhooks" in page
    (delivery,) = ids(session, Delivery.webhook_id == webhook.id)
    own = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries")
    assert "was deleted on" in own.text
    assert "open-replay" not in own.text
    shown_one = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries/{delivery}")
    assert shown_one.status_code == 200
    assert 'id="resend"' not in shown_one.text
    refused = rick_client.post(
        f"/integrations/webhooks/{webhook.id}/deliveries/{delivery}/resend", headers={"HX-Request": "true"}
    )
    assert refused.status_code == 404


def test_a_host_without_webhooks_has_an_empty_log(rick_client, rick) -> None:
    assert "No deliveries yet" in rick_client.get(LOG).text


def test_nobody_sees_anothers_log(rick_client, bob, webhook, happen, saved, session) -> None:
    event = happen()
    strange = subscribed(bob, "https://hooks.example.com/bob")
    saved(strange)
    assert rick_client.get(f"{LOG}?webhook={strange.id}").status_code == 404
    session.add(event)
    event.user_id = bob.id
    session.commit()
    assert rick_client.get(f"/integrations/events/{event.uid}").status_code == 404
    assert rick_client.get("/integrations/events/evt_none").status_code == 404


def test_an_event_shows_all_its_webhooks_with_their_attempts(
    rick_client, webhook, second, happen, session
) -> None:
    event = happen()
    session.add(event)
    for delivery in session.scalars(select(Delivery)):
        session.add(
            Attempt(
                delivery_id=delivery.id,
                webhook_id=delivery.webhook_id,
                number=1,
                at=now(),
                status=503,
                failure=f"No room at {delivery.webhook_id}.",
            )
        )
    session.commit()
    page = rick_client.get(f"/integrations/events/{event.uid}").text
    for known_as in (
        webhook.subscriber_url,
        "Second",
        f"No room at {webhook.id}.",
        f"No room at {second.id}.",
    ):
        assert known_as in page
    fragment = rick_client.get(
        f"/integrations/events/{event.uid}?look=3", headers={"HX-Request": "true"}
    ).text
    assert "look=4" in fragment
    assert "<html" not in fragment


def test_a_delivery_says_what_is_different_from_what_was_sent(
    rick_client, webhook, happen, deliver, session, clock
) -> None:
    happen()
    deliver()
    old = webhook.subscriber_url
    (delivery,) = ids(session)
    page = f"/integrations/webhooks/{webhook.id}/deliveries/{delivery}"
    assert "What has changed since" not in rick_client.get(page).text
    clock.shift(60)
    template = '{"text": "{{uid}}"}'
    change = WebhookPatch(
        subscriberUrl="http://127.0.0.1:9/new",
        secret="whsec_" + "b" * 44,
        headers=[{"name": "X-Token", "value": "hush-hush"}],
        payloadTemplate=template,
    )
    with transaction() as writing:
        service.update(writing, writing.get_one(Webhook, webhook.id), change, None)
    shown = unescape(rick_client.get(page).text)
    assert f'<del class="break">{old}</del><br><ins class="break">http://127.0.0.1:9/new</ins>' in shown
    for words in ("Secret</dt><dd>Changed on", "Custom headers changed on", '<ins>+   "text": "chain"</ins>'):
        assert words in shown
    assert '<del>-   "triggerEvent": "BOOKING_CREATED",</del>' in shown
    assert "hush-hush" not in shown


def test_a_webhook_that_was_changed_and_changed_back_is_no_different(
    rick_client, webhook, happen, deliver, session, clock
) -> None:
    happen()
    deliver()
    (delivery,) = ids(session)
    for url in ("http://127.0.0.1:9/other", webhook.subscriber_url):
        clock.shift(60)
        with transaction() as writing:
            change = WebhookPatch(subscriberUrl=url)
            service.update(writing, writing.get_one(Webhook, webhook.id), change, None)
    page = f"/integrations/webhooks/{webhook.id}/deliveries/{delivery}"
    assert "<del" not in rick_client.get(page).text


def test_a_body_too_long_to_compare_is_said_to_be(rick_client, webhook, happen, session, monkeypatch) -> None:
    happen()
    monkeypatch.setattr(formatting, "MOST_LINES", 3)
    with transaction() as writing:
        writing.get_one(Webhook, webhook.id).payload_template = '{"text": "{{uid}}"}'
    (delivery,) = ids(session)
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries/{delivery}").text
    assert "too long to be compared" in page


def test_text_is_looked_for_in_so_many_events_at_a_time_and_on_from_there(
    rick_client, webhook, second, happen, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        happen(f"chain {number}", search="bob" if number in {0, 1, 9} else "ada")
    of_bob = ids(session, Event.id == Delivery.event_id, Event.search == "bob")
    monkeypatch.setattr(log, "LOOKED_THROUGH", 3)
    address, seen = f"{LOG}?text=bob", []
    while address:
        page = rick_client.get(address).text
        seen.append(shown(rick_client, address))
        assert ("of an event after" in page) == (not seen[-1])
        address = unescape(next(iter(findall(r'href="([^"]*upto=\d+)"', page)), ""))
        assert ("Searched back to" in page) == bool(address)
    assert seen == [of_bob[:2], [], of_bob[2:4], of_bob[4:]]


def test_a_search_for_common_text_goes_on_behind_the_last_event_of_its_pages(
    rick_client, webhook, happen, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        happen(f"chain {number}", search="bob")
    monkeypatch.setattr(log, "MOST_EVENTS", 2)
    address, seen = f"{LOG}?text=bob", []
    while address:
        page = rick_client.get(address).text
        seen += shown(rick_client, address)
        address = unescape(next(iter(findall(r'href="([^"]*upto=\d+)"', page)), ""))
    assert seen == ids(session)


def test_text_and_the_id_of_a_delivery_or_an_event_are_looked_for_together(
    rick_client, webhook, happen, session
) -> None:
    event = happen(search="bob")
    happen("other", search="bob")
    session.add(event)
    (first,) = ids(session, Delivery.event_id == event.id)
    for known_as in (first, event.uid, "chain"):
        assert shown(rick_client, f"{LOG}?id={known_as}&text=bob") == [first]
        assert not shown(rick_client, f"{LOG}?id={known_as}&text=ada")
    assert rick_client.get(f"{LOG}?text=bob&upto=99999999999999999").status_code == 200
