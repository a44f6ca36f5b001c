"""What a template does later: the booking stands, the delivery fails and is sent once it is corrected."""

import time
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.deliveries import engine
from calapp.deliveries.models import Delivery, Event, Notice
from calapp.webhooks import template
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, message
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed
from tests.deliveries.test_replays import start
from tests.receiver import Receiver

pytestmark = on_both_databases

BAD = '{"a": "\\ud83d {{metadata.user_id}}"}'
GOOD = '{"id": "{{metadata.user_id}}"}'
Happen = Callable[..., Event]
Deliver = Callable[[], None]
Saved = Callable[..., None]


@pytest.fixture
def broken(rick: User, receiver: Receiver, saved: Saved) -> Webhook:
    """A webhook that an older version let have a template which cannot be rendered."""
    made = subscribed(rick, receiver.url("/broken"), payload_template=BAD)
    saved(made)
    return made


def mend(client: Client, webhook: Webhook, text: str | None = GOOD) -> None:
    assert client.patch(f"/v2/webhooks/{webhook.uid}", {"payloadTemplate": text}).status_code == 200


def only(session: Session, webhook: Webhook) -> Delivery:
    session.rollback()
    return session.scalars(select(Delivery).where(Delivery.webhook_id == webhook.id)).one()


@pytest.mark.parametrize(
    "text", [BAD, "[" * 700 + "]" * 700, "{{" + " " * 5_000_000, '["{{metadata}}",' * 200 + '""]']
)
def test_t3_a_template_that_fails_fails_its_delivery_alone(
    broken: Webhook,
    webhook: Webhook,
    receiver: Receiver,
    happen: Happen,
    deliver: Deliver,
    change,
    text,
    session,
) -> None:
    change(broken, payload_template=text)
    happen()
    deliver()
    assert [request.path for request in receiver.requests] == ["/hook"]
    assert only(session, broken).state == "failed"
    assert "template could not be rendered" in only(session, broken).reason


def test_t3_a_bug_in_rendering_fails_no_event(
    broken: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver, session: Session, monkeypatch
) -> None:
    monkeypatch.setattr(template, "value_at", lambda *_: 1 / 0)
    mended = '{"id": "{{uid}}"}'
    broken.payload_template = mended
    session.commit()
    happen()
    deliver()
    assert (receiver.requests, only(session, broken).state) == ([], "failed")


def test_t3_the_host_is_told_on_the_page_and_by_mail_once(
    broken: Webhook, happen: Happen, rick_client: FlaskClient, session: Session
) -> None:
    for number in range(3):
        happen(f"chain {number}")
    page = rick_client.get("/integrations").text
    assert page.count("An event was not sent. The payload template could not be rendered") == 1
    assert len(session.scalars(select(Notice)).all()) == 1


def test_t3_what_failed_is_resent_with_the_corrected_template(
    broken: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver, rick_api: Client, session: Session
) -> None:
    happen()
    path = f"/v2/deliveries/{only(session, broken).id}"
    assert rick_api.data(path)["body"] is None
    refused = rick_api.post(f"{path}/resend")
    assert (refused.status_code, "lone surrogate" in message(refused)) == (409, True)
    mend(rick_api, broken)
    assert rick_api.post(f"{path}/resend", {"template": "original"}).status_code == 409
    assert rick_api.post(f"{path}/resend").status_code == 202
    deliver()
    assert [request.body for request in receiver.requests] == [b'{"id": "123"}']


def test_t3_a_corrected_template_ends_the_banner_when_all_was_resent(
    broken: Webhook, happen: Happen, rick_client: FlaskClient, rick_api: Client, session: Session
) -> None:
    happen()
    mend(rick_api, broken)
    shown = f"/integrations/webhooks/{broken.id}/deliveries/{only(session, broken).id}"
    assert "Resend with the current template" in rick_client.get(shown).text
    rick_client.post(f"{shown}/resend")
    assert "An event was not sent" not in rick_client.get("/integrations").text


@pytest.mark.parametrize(("text", "sent"), [(BAD, []), (GOOD, [b'{"id": "123"}'])])
def test_t3_a_replay_never_sends_the_default_body_in_its_place(
    broken: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver, change, text, sent
) -> None:
    happen()
    change(broken, payload_template=text)
    start(broken, only_failed=True)
    engine.continue_replays()
    deliver()
    assert [request.body for request in receiver.requests] == sent


def test_t7_all_bodies_of_an_event_stay_within_a_megabyte(
    rick: User, receiver: Receiver, happen: Happen, session: Session, saved: Saved
) -> None:
    large = '{"a": "{{uid}}' + "x" * 9_000 + '"}'
    saved(*(subscribed(rick, receiver.url(f"/{number}"), payload_template=large) for number in range(130)))
    began = time.process_time()
    happen()
    assert time.process_time() - began < 2
    session.rollback()
    found = session.scalars(select(Delivery)).all()
    assert sum(len(one.body) for one in found) <= 1024 * 1024
    [reason] = {one.reason for one in found if one.state == "failed"}
    assert "All bodies of this event together would be larger than 1 MB." in reason


@pytest.mark.parametrize(("choice", "body"), [("original", b'{"old": "123"}'), ("current", b'{"id": "123"}')])
@pytest.mark.parametrize("by", ["page", "api"])
def test_t6_a_resend_goes_as_it_was_or_with_the_current_template(
    broken: Webhook, receiver, happen, deliver, change, rick_client, rick_api, session, choice, body, by
) -> None:
    change(broken, payload_template='{"old": "{{metadata.user_id}}"}')
    happen()
    deliver()
    mend(rick_api, broken)
    delivery = only(session, broken)
    if by == "api":
        rick_api.post(f"/v2/deliveries/{delivery.id}/resend", {"template": choice})
    else:
        shown = f"/integrations/webhooks/{broken.id}/deliveries/{delivery.id}"
        assert f'name="template" value="{choice}"' in rick_client.get(shown).text
        rick_client.post(f"{shown}/resend", data={"template": choice})
    deliver()
    assert receiver.requests[-1].body == body


def test_t6_the_original_is_resent_also_after_a_click_on_the_current_template(
    broken: Webhook, receiver, happen, deliver, change, rick_api, session
) -> None:
    change(broken, payload_template='{"old": "{{metadata.user_id}}"}')
    happen()
    deliver()
    mend(rick_api, broken)
    delivery = only(session, broken)
    for choice in ("current", "original"):
        rick_api.post(f"/v2/deliveries/{delivery.id}/resend", {"template": choice})
    deliver()
    assert [request.body for request in receiver.requests] == [b'{"old": "123"}'] * 2


def test_t6_no_choice_is_offered_while_the_template_is_the_same(
    broken: Webhook, happen, deliver, change, rick_client, session
) -> None:
    change(broken, payload_template=GOOD)
    happen()
    deliver()
    shown = f"/integrations/webhooks/{broken.id}/deliveries/{only(session, broken).id}"
    assert 'name="template"' not in rick_client.get(shown).text


def test_t6_a_template_that_the_api_does_not_know_is_refused(
    broken: Webhook, happen: Happen, rick_api: Client, session: Session
) -> None:
    happen()
    answer = rick_api.post(f"/v2/deliveries/{only(session, broken).id}/resend", {"template": "newest"})
    assert (answer.status_code, "template" in message(answer)) == (400, True)
