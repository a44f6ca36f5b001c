"""The webhook box: new, edit, delete, on and off."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.clock import now
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.integrations.conftest import HTMX, SECRET, filled

NEW = "/integrations/webhooks/new"
URL = "http://127.0.0.1:8001/hooks"


def only(session: Session) -> Webhook:
    return session.scalars(select(Webhook)).one()


def test_a_new_box_has_the_first_three_triggers_on(rick_client: FlaskClient) -> None:
    page = rick_client.get(NEW).text
    assert page.count('name="triggers"') == 14
    assert page.count('name="triggers" type="checkbox" value="BOOKING_') >= 6
    for trigger in ("BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"):
        assert f'value="{trigger}" checked' in page
    assert 'value="BOOKING_REQUESTED" checked' not in page


def test_a_saved_webhook_is_on_the_page(rick_client: FlaskClient, session: Session) -> None:
    answer = rick_client.post(NEW, data=filled(URL))
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/integrations#webhooks"
    page = rick_client.get("/integrations").text
    assert f'aria-label="Edit webhook {URL}" title="Edit webhook"' in page
    assert f'aria-label="Delete webhook {URL}" title="Delete webhook"' in page
    assert "Booking Cancelled" in page
    assert only(session).triggers == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_saving_by_htmx_answers_with_the_whole_list(rick_client: FlaskClient) -> None:
    answer = rick_client.post(NEW, data=filled(URL), headers=HTMX)
    assert answer.status_code == 200
    assert answer.headers["HX-Retarget"] == "#webhooks"
    assert "Webhook created." in answer.headers["HX-Trigger"]
    assert URL not in answer.headers["HX-Trigger"]
    assert 'id="webhooks"' in answer.text
    assert "<html" not in answer.text


def test_a_bad_address_comes_back_at_its_field_with_all_values(rick_client: FlaskClient) -> None:
    given = filled("ftp://example.com/x", secret="my secret", triggers=["MEETING_ENDED"])
    answer = rick_client.post(NEW, data=given, headers=HTMX)
    assert answer.status_code == 422
    assert 'id="field-subscriber_url-error"' in answer.text
    assert 'value="ftp://example.com/x"' in answer.text
    assert 'value="my secret"' in answer.text
    assert 'value="MEETING_ENDED" checked' in answer.text


def test_a_private_address_is_refused_with_the_reason(rick_client: FlaskClient) -> None:
    answer = rick_client.post(NEW, data=filled("http://10.0.0.1/hook"))
    assert answer.status_code == 422
    assert "10.0.0.1 is not a public address" in answer.text


def test_without_a_trigger_nothing_is_saved(rick_client: FlaskClient, session: Session) -> None:
    answer = rick_client.post(NEW, data=filled(URL, triggers=[]))
    assert answer.status_code == 422
    assert "Please choose at least one trigger." in answer.text
    assert session.scalar(select(Webhook)) is None


def test_the_same_address_twice_is_a_conflict_at_the_field(rick_client: FlaskClient) -> None:
    rick_client.post(NEW, data=filled(URL))
    answer = rick_client.post(NEW, data=filled(URL))
    assert answer.status_code == 409
    assert "You already have a webhook with this URL." in answer.text


def test_a_strangers_event_type_is_refused(
    bob_client: FlaskClient, quick_chat: EventType, session: Session
) -> None:
    answer = bob_client.post(NEW, data=filled(URL, event_type_id=str(quick_chat.id)))
    assert answer.status_code == 422
    assert "There is no such event type." in answer.text
    assert session.scalar(select(Webhook)) is None


def test_a_webhook_can_be_of_one_event_type(
    rick_client: FlaskClient, quick_chat: EventType, session: Session
) -> None:
    rick_client.post(NEW, data=filled(URL, event_type_id=str(quick_chat.id)))
    assert only(session).event_type_id == quick_chat.id
    assert "Only Quick chat" in rick_client.get("/integrations").text


def test_the_edit_box_has_the_scope_chosen_also_of_an_event_type_that_was_deleted(
    rick_client: FlaskClient, webhook: Webhook, quick_chat: EventType, change
) -> None:
    change(webhook, event_type_id=quick_chat.id)
    edit = f"/integrations/webhooks/{webhook.id}/edit"
    chosen = f'<option value="{quick_chat.id}" selected>Quick chat'
    assert f"{chosen}</option>" in rick_client.get(edit).text
    change(quick_chat, deleted_at=now())
    assert f"{chosen} (deleted)</option>" in rick_client.get(edit).text
    given = filled(webhook.subscriber_url, event_type_id=str(quick_chat.id), secret_overlap_seconds="86400")
    assert rick_client.post(edit, data=given).status_code == 303


def test_an_overlap_that_is_not_offered_is_refused_at_its_field(
    rick_client: FlaskClient, webhook: Webhook
) -> None:
    given = filled(webhook.subscriber_url, secret="the new one, longer", secret_overlap_seconds="a week")
    answer = rick_client.post(f"/integrations/webhooks/{webhook.id}/edit", data=given)
    assert answer.status_code == 422
    assert 'id="field-secret_overlap_seconds-error"' in answer.text


def test_generate_fills_in_a_secret_and_saves_nothing(rick_client: FlaskClient, session: Session) -> None:
    answer = rick_client.post(NEW, data=filled(URL, action="generate"))
    assert answer.status_code == 200
    assert 'value="whsec_' in answer.text
    assert f'value="{URL}"' in answer.text
    assert session.scalar(select(Webhook)) is None


def test_an_unticked_box_makes_a_webhook_that_is_off(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post(NEW, data=filled(URL, active=["0"]))
    assert not only(session).active


def test_rows_for_headers_are_added_and_taken_away(rick_client: FlaskClient) -> None:
    one = {"header_name": ["X-One"], "header_value": ["1"]}
    more = rick_client.post(NEW, data=filled(URL, action="add-header", **one)).text
    assert more.count('name="header_name"') == 2
    fewer = rick_client.post(NEW, data=filled(URL, action="remove-header-1", **one)).text
    assert 'name="header_name"' not in fewer


def test_a_header_of_ours_is_refused(rick_client: FlaskClient) -> None:
    answer = rick_client.post(NEW, data=filled(URL, header_name=["Webhook-Id"], header_value=["x"]))
    assert answer.status_code == 422
    assert "is set by Calapp or by HTTP itself" in answer.text


def test_the_edit_box_never_shows_what_is_secret(rick_client: FlaskClient, webhook: Webhook) -> None:
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/edit").text
    assert webhook.subscriber_url in page
    assert "Authorization" in page
    assert SECRET not in page
    assert "hush-hush" not in page


def test_editing_keeps_the_secret_and_header_values_left_empty(
    rick_client: FlaskClient, webhook: Webhook, session: Session
) -> None:
    given = filled(webhook.subscriber_url, header_name=["Authorization"], header_value=[""])
    answer = rick_client.post(f"/integrations/webhooks/{webhook.id}/edit", data=given)
    assert answer.status_code == 303
    session.refresh(webhook)
    assert webhook.secret == SECRET
    assert webhook.headers == [["Authorization", "Bearer hush-hush"]]
    assert webhook.triggers == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_a_changed_secret_overlaps_until_the_host_ends_it(
    rick_client: FlaskClient, webhook: Webhook, session: Session
) -> None:
    edit = f"/integrations/webhooks/{webhook.id}/edit"
    rick_client.post(edit, data=filled(webhook.subscriber_url, secret="the new one, longer"))
    session.refresh(webhook)
    assert (webhook.secret, webhook.old_secret) == ("the new one, longer", SECRET)
    assert "Use only the new secret" in rick_client.get(edit).text
    answer = rick_client.post(edit, data=filled(webhook.subscriber_url, action="only-new-secret"))
    session.refresh(webhook)
    assert webhook.old_secret is None
    assert "Only the new secret is used from now on." in answer.text


def test_a_secret_can_be_removed(rick_client: FlaskClient, webhook: Webhook, session: Session) -> None:
    given = filled(webhook.subscriber_url, remove_secret="1")
    rick_client.post(f"/integrations/webhooks/{webhook.id}/edit", data=given)
    session.refresh(webhook)
    assert webhook.secret is None


def test_a_broken_template_is_refused_at_its_field(rick_client: FlaskClient) -> None:
    answer = rick_client.post(NEW, data=filled(URL, payload="custom", payload_template='{"a": }'))
    assert answer.status_code == 422
    assert 'id="field-payload_template-error"' in answer.text


def test_the_default_payload_forgets_the_template(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post(NEW, data=filled(URL, payload="default", payload_template='{"a": 1}'))
    assert only(session).payload_template is None


def test_the_preview_warns_about_unknown_paths(rick_client: FlaskClient) -> None:
    text = '{"who": "{{metadata.user_id}}", "what": "{{nothing.here}}"}'
    given = {"payload_template": text}
    answer = rick_client.post("/integrations/webhooks/preview", data=given, headers=HTMX)
    assert "&#34;who&#34;: &#34;123&#34;" in answer.text
    assert "<code>nothing.here</code>" in answer.text


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://discord.com/api/webhooks/1/x", "Discord"), ("https://hooks.slack.com/services/x", "Slack")],
)
def test_chat_services_are_offered_a_payload_that_fits(rick_client: FlaskClient, url: str, name: str) -> None:
    offer = rick_client.post(
        "/integrations/webhooks/offer", data={"subscriber_url": url, "payload": "default"}, headers=HTMX
    )
    assert f"Use the payload for {name}" in offer.text
    taken = rick_client.post(NEW, data=filled(url, action="offer"))
    assert "{{triggerEvent}}: {{title}}" in taken.text


def test_the_question_before_deleting_names_the_address(rick_client: FlaskClient, webhook: Webhook) -> None:
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/delete").text
    assert webhook.subscriber_url in page
    assert "Keep it" in page


def test_a_deleted_webhook_is_gone_everywhere(rick_client: FlaskClient, webhook: Webhook) -> None:
    address = f"/integrations/webhooks/{webhook.id}/delete"
    assert rick_client.post(address).status_code == 303
    assert webhook.subscriber_url not in rick_client.get("/integrations").text
    assert rick_client.post(address).status_code == 404


def test_the_switch_turns_a_webhook_off_and_on(
    rick_client: FlaskClient, webhook: Webhook, session: Session
) -> None:
    address = f"/integrations/webhooks/{webhook.id}/toggle"
    rick_client.post(address, data={"active": "0"})
    session.refresh(webhook)
    assert (webhook.active, webhook.off_reason) == (False, "host")
    rick_client.post(address, data={"active": "1"})
    session.refresh(webhook)
    assert (webhook.active, webhook.off_reason) == (True, None)


def test_a_second_click_on_the_switch_changes_nothing(
    rick_client: FlaskClient, webhook: Webhook, session: Session
) -> None:
    for _ in range(2):
        rick_client.post(f"/integrations/webhooks/{webhook.id}/toggle", data={"active": "0"})
    session.refresh(webhook)
    assert not webhook.active


@pytest.mark.parametrize(
    "action", ["edit", "delete", "toggle", "parked", "ping", "deliveries", "deliveries/1"]
)
def test_a_strangers_webhook_is_not_found(
    rick: User, bob_client: FlaskClient, webhook: Webhook, action: str, session: Session
) -> None:
    address = f"/integrations/webhooks/{webhook.id}/{action}"
    if action != "ping":
        assert bob_client.get(address).status_code == 404
    if not action.startswith("deliveries"):
        assert bob_client.post(address, data=filled(URL)).status_code == 404
    session.refresh(webhook)
    assert (webhook.active, webhook.deleted_at) == (True, None)


def test_signed_out_nothing_is_shown(client: FlaskClient) -> None:
    answer = client.get("/integrations/webhooks/new")
    assert answer.status_code in {302, 303}
    assert answer.headers["Location"].startswith("/login?next=")


def test_an_address_from_a_stranger_is_never_markup(rick_client: FlaskClient) -> None:
    answer = rick_client.post(NEW, data=filled('"><script>alert(1)</script>'))
    assert "<script>alert" not in answer.text


def test_u9_a_saved_trigger_that_is_no_longer_offered_stays(
    rick_client: FlaskClient, webhook: Webhook, change, session: Session
) -> None:
    change(webhook, triggers=["BOOKING_CREATED", "BOOKING_MOVED"])
    edit = f"/integrations/webhooks/{webhook.id}/edit"
    page = rick_client.get(edit).text
    assert 'value="BOOKING_MOVED" checked' in page
    assert "Booking Moved (no longer available)" in rick_client.get("/integrations").text
    form = filled(webhook.subscriber_url, triggers=["BOOKING_CREATED", "BOOKING_MOVED"])
    for chosen in (form["triggers"], ["BOOKING_MOVED"], ["BOOKING_CREATED"]):
        assert rick_client.post(edit, data=form | {"triggers": chosen}).status_code < 400
        session.rollback()
        assert only(session).triggers == chosen
    assert rick_client.post(edit, data=form).status_code == 422  # it was taken away


def test_a_trigger_that_is_never_sent_says_so_and_stays(
    rick_client: FlaskClient, webhook: Webhook, change, session: Session
) -> None:
    change(webhook, triggers=["BOOKING_CREATED", "RECORDING_READY"])
    edit = f"/integrations/webhooks/{webhook.id}/edit"
    assert "Recording Ready (never sent by this server)" in rick_client.get(edit).text
    log = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries").text
    assert "Recording Ready (never sent by this server)" in log
    form = filled(webhook.subscriber_url, triggers=["BOOKING_CREATED", "RECORDING_READY"])
    assert rick_client.post(edit, data=form).status_code < 400
    session.rollback()
    assert only(session).triggers == ["BOOKING_CREATED", "RECORDING_READY"]
