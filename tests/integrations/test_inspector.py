"""The built-in inspector: what it keeps, how it judges signatures, how it answers."""

import json
import time
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app
from calapp.accounts.models import User
from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries.signing import request_headers
from calapp.integrations import inspector, ping, service
from calapp.integrations.models import InspectorRequest
from calapp.webhooks.models import Webhook
from tests.integrations.conftest import HTMX

BODY = json.dumps({"triggerEvent": "BOOKING_CREATED", "payload": {"metadata": {"user_id": "123"}}}).encode()


@pytest.fixture
def ear(rick: User) -> str:
    """The path of Rick's inspector, to which a signed webhook of his leads."""
    with transaction() as session:
        service.add_inspector_webhook(session, rick.id)
        return f"/hooks/in/{service.ensure_inspector(session, rick.id).token}"


def signed(session: Session, user: User, body: bytes = BODY) -> dict[str, str]:
    webhook = service.leading_to(session, service.ensure_inspector(session, user.id))[0]
    made = request_headers(
        "evt_1",
        body,
        at=now(),
        secrets=[webhook.secret],
        custom=[],
        number=1,
        content_type="application/json",
    )
    return dict(made)


def kept(session: Session) -> list[InspectorRequest]:
    session.rollback()
    return list(session.scalars(select(InspectorRequest).order_by(InspectorRequest.id)))


def test_a_signed_event_is_kept_as_good(rick: User, ear: str, client: FlaskClient, session: Session) -> None:
    answer = client.post(ear, data=BODY, headers=signed(session, rick))
    assert answer.status_code == 200
    (request,) = kept(session)
    assert (request.signature, request.trigger, request.body) == ("good", "BOOKING_CREATED", BODY.decode())


def test_a_changed_body_is_kept_as_bad(rick: User, ear: str, client: FlaskClient, session: Session) -> None:
    client.post(ear, data=BODY + b" ", headers=signed(session, rick))
    assert kept(session)[0].signature == "bad"


def test_an_unsigned_request_is_kept_as_such(ear: str, client: FlaskClient, session: Session) -> None:
    client.post(ear, data="a=1", content_type="application/x-www-form-urlencoded")
    assert [(one.signature, one.body) for one in kept(session)] == [("none", "a=1")]


def test_an_unknown_address_is_not_found(client: FlaskClient) -> None:
    assert client.post("/hooks/in/nobody", data=b"{}").status_code == 404


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00nothing", b"[" * 100_000, b"", b'"text"', b'{"triggerEvent": []}']
)
def test_whatever_comes_is_kept_as_text(ear: str, client: FlaskClient, session: Session, body: bytes) -> None:
    assert client.post(ear, data=body).status_code == 200
    assert "\0" not in kept(session)[0].body


def test_more_than_256_kilobytes_are_refused(ear: str, client: FlaskClient, session: Session) -> None:
    assert client.post(ear, data=b"x" * (256 * 1024 + 1)).status_code == 413
    assert kept(session) == []


def test_the_newest_fifty_are_kept(ear: str, client: FlaskClient, session: Session) -> None:
    for number in range(53):
        client.post(ear, data=str(number))
    bodies = [one.body for one in kept(session)]
    assert bodies == [str(number) for number in range(3, 53)]


def test_the_next_two_are_answered_with_500(ear: str, rick_client: FlaskClient, client: FlaskClient) -> None:
    rick_client.post("/integrations/inspector", data={"fail_next": "2", "delay_seconds": "0"})
    assert [client.post(ear, data=b"{}").status_code for _ in range(3)] == [500, 500, 200]


def test_the_next_is_answered_with_a_status_a_body_and_retry_after(
    ear: str, rick_client: FlaskClient, client: FlaskClient, session: Session
) -> None:
    wanted = {"fail_next": "1", "status": "503", "body": "<b>busy</b>", "retry_after": "60"}
    rick_client.post("/integrations/inspector", data=wanted)
    first, second = (client.post(ear, data=b"{}") for _ in range(2))
    assert (first.status_code, first.text, first.headers["Retry-After"]) == (503, "<b>busy</b>", "60")
    assert first.mimetype == "text/plain"
    assert (second.status_code, second.text, "Retry-After" in second.headers) == (200, "received\n", False)
    assert [one.status for one in kept(session)] == [503, 200]
    shown = rick_client.get("/integrations/inspector").text
    assert "&lt;b&gt;busy&lt;/b&gt;" in shown
    assert 'value="503"' in shown


@pytest.mark.parametrize("status", ["204", "304"])
def test_a_status_without_a_body_has_none(
    ear: str, rick_client: FlaskClient, client: FlaskClient, status: str
) -> None:
    rick_client.post("/integrations/inspector", data={"fail_next": "1", "status": status, "body": "words"})
    assert client.post(ear, data=b"{}").data == b""


def test_a_body_that_is_too_long_is_said_to_be_and_stays(ear: str, rick_client: FlaskClient) -> None:
    answer = rick_client.post("/integrations/inspector", data={"body": "x" * 2001, "status": "503"})
    assert answer.status_code == 422
    assert "x" * 2001 in answer.text
    assert "up to 2,000 characters" in answer.text


def test_requests_are_filtered_by_event_response_signature_and_text(
    ear: str, rick: User, rick_client: FlaskClient, client: FlaskClient, session: Session
) -> None:
    client.post(ear, data=BODY, headers=signed(session, rick))
    rick_client.post("/integrations/inspector", data={"fail_next": "1"})
    client.post(ear, data=b"50%_off")

    def shown(query: str) -> list[int]:
        page = rick_client.get(f"/integrations/inspector?{query}").text
        return [number for number in (1, 2) if f'id="request-{number}"' in page]

    for query in ("trigger=BOOKING_CREATED", "result=ok", "signature=good", "text=USER_ID"):
        assert shown(query) == [1], query
    for query in ("result=failed", "signature=none", "text=50%25_"):
        assert shown(query) == [2], query
    assert shown("result=odd&signature=odd&trigger=odd") == [1, 2]
    assert "No matches" in rick_client.get("/integrations/inspector?text=nothing").text
    news = rick_client.get("/integrations/inspector/requests?after=0&result=failed", headers=HTMX).text
    assert ('id="request-2"' in news, 'id="request-1"' in news, "result=failed" in news) == (
        True,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("fail_next", "-1"),
        ("fail_next", "1001"),
        ("fail_next", "two"),
        ("delay_seconds", "31"),
        ("status", "199"),
        ("status", "600"),
        ("retry_after", "86401"),
        ("retry_after", "soon"),
    ],
)
def test_a_number_that_makes_no_sense_is_said_so_at_its_field(
    ear: str, rick_client: FlaskClient, client: FlaskClient, field: str, text: str
) -> None:
    answer = rick_client.post("/integrations/inspector", data={"fail_next": "3", field: text})
    assert answer.status_code == 422
    assert f'id="field-{field}-error"' in answer.text
    assert f'value="{text}"' in answer.text
    assert client.post(ear, data=b"{}").status_code == 200


def test_the_page_counts_down_what_is_still_to_fail(
    ear: str, rick_client: FlaskClient, client: FlaskClient
) -> None:
    rick_client.post("/integrations/inspector", data={"fail_next": "3"})
    client.post(ear, data=b"{}")
    assert "2 remaining." in rick_client.get("/integrations/inspector").text
    client.post(ear, data=b"{}")
    news = rick_client.get("/integrations/inspector/requests?after=1&look=1", headers=HTMX).text
    assert "1 remaining." in news


def test_a_line_shows_the_metadata_and_the_first_one_is_open(
    ear: str, rick_client: FlaskClient, client: FlaskClient
) -> None:
    client.post(ear, data=BODY)
    first = rick_client.get("/integrations/inspector").text
    client.post(ear, data=b'{"payload": {"metadata": ["<b>"]}}')
    second = rick_client.get("/integrations/inspector").text
    assert "user_id=123</code>" in first
    assert ("<details open>" in first, "<details open>" in second) == (True, False)


def test_an_answer_can_be_made_to_wait(ear: str, rick_client: FlaskClient, client: FlaskClient) -> None:
    rick_client.post("/integrations/inspector", data={"fail_next": "0", "delay_seconds": "1"})
    began = time.monotonic()
    client.post(ear, data=b"{}")
    assert time.monotonic() - began >= 1


def test_the_page_shows_what_came_as_text(ear: str, rick_client: FlaskClient, client: FlaskClient) -> None:
    client.post(ear, data=b"<script>alert(1)</script>", headers={"X-Odd": "<b>"})
    page = rick_client.get("/integrations/inspector").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_the_page_asks_only_for_what_is_new(ear: str, rick_client: FlaskClient, client: FlaskClient) -> None:
    client.post(ear, data=b"first")
    client.post(ear, data=b"second")
    news = rick_client.get("/integrations/inspector/requests?after=1&look=3", headers=HTMX).text
    assert 'id="request-2"' in news
    assert 'id="request-1"' not in news
    quiet = rick_client.get("/integrations/inspector/requests?after=2&look=6", headers=HTMX).text
    assert "<li" not in quiet
    assert "delay:5s" in quiet


def test_cleared_means_forgotten(
    ear: str, rick_client: FlaskClient, client: FlaskClient, session: Session
) -> None:
    client.post(ear, data=b"{}")
    rick_client.post("/integrations/inspector/clear")
    assert session.scalar(select(func.count()).select_from(InspectorRequest)) == 0


def test_a_booking_that_arrives_ends_the_first_steps(
    rick: User, ear: str, rick_client: FlaskClient, client: FlaskClient
) -> None:
    client.post(ear, data=BODY)
    assert "See a webhook arrive" not in rick_client.get("/integrations").text


def test_bobs_page_shows_nothing_of_ricks(ear: str, bob_client: FlaskClient, client: FlaskClient) -> None:
    client.post(ear, data=b"for rick alone")
    assert "for rick alone" not in bob_client.get("/integrations/inspector").text


def test_d9_slow_responses_of_one_host_leave_places_to_others(
    rick: User, bob: User, ear: str, rick_client: FlaskClient, client: FlaskClient, caplog
) -> None:
    rick_client.post("/integrations/inspector", data={"fail_next": "0", "delay_seconds": "30"})
    with inspector.slow.taken(rick.id) as first, inspector.slow.taken(rick.id) as second:
        began = time.monotonic()
        assert client.post(ear, data=b"{}").status_code == 200
        with inspector.slow.taken(bob.id) as others:
            assert (first, second, others) == (True, True, True)
    assert time.monotonic() - began < 10
    assert "limit reached" in caplog.text


def test_d9_a_refused_ping_says_when_to_come_again(
    rick: User, webhook: Webhook, rick_client: FlaskClient
) -> None:
    with ping.places.taken(rick.id), ping.places.taken(rick.id):
        answer = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_k8_the_signature_is_verified_over_all_and_64_kilobytes_are_kept(
    rick: User, ear: str, rick_client: FlaskClient, client: FlaskClient, session: Session
) -> None:
    body = json.dumps({"triggerEvent": "BOOKING_CREATED", "payload": "<" * 250_000}).encode()
    client.post(ear, data=body, headers=signed(session, rick, body))
    (request,) = kept(session)
    assert (request.signature, len(request.body), request.size) == ("good", 64 * 1024, len(body))
    page = rick_client.get(f"/integrations/inspector/requests/{request.id}").text
    assert f"the first 65,536 of {len(body):,} bytes" in page


@pytest.mark.parametrize(
    "text", ["'" * 250_000, "\xff" * 125_000, "[" * 900 + "1," * 30_000 + "1" + "]" * 900]
)
def test_k8_no_page_has_more_than_512_kilobytes(
    ear: str, rick: User, rick_client: FlaskClient, client: FlaskClient, saved, session: Session, text: str
) -> None:
    headers = [["X-Long", "'" * 8000]] * 90
    saved(InspectorRequest(user_id=rick.id, headers=headers, body=text, signature="none", status=200))
    pages = ["/integrations/inspector", "/integrations/inspector/requests/1"]
    assert all(len(rick_client.get(page).data) < 512 * 1024 for page in pages)
    for _ in range(3):
        client.post(ear, data=text.encode(), headers=[(name, value) for name, value in headers[:50]])
    assert all(len(rick_client.get(page).data) < 512 * 1024 for page in pages)


def test_k8_a_host_keeps_one_megabyte_and_the_oldest_go(
    ear: str, client: FlaskClient, session: Session
) -> None:
    for number in range(20):
        client.post(ear, data=f"{number:02}" + "x" * 250_000, headers={"X-Long": "x" * 6000})
    bodies = [one.body for one in kept(session)]
    assert sum(map(len, bodies)) <= 1024 * 1024
    assert (bodies[-1][:2], len(bodies) > 10) == ("19", True)


def test_the_inspector_is_offered_also_where_the_base_url_is_none_that_hosts_may_give(
    rick: User, settings: Settings
) -> None:
    other = create_app(replace(settings, base_url="https://me@cal.example.com"))
    with other.app_context(), transaction() as session:
        made = service.add_inspector_webhook(session, rick.id)
        assert made.subscriber_url.startswith("https://me@cal.example.com/hooks/in/")
