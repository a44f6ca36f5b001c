"""V13 without a script: what was typed into a page whose session has ended is kept until its host is back."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from calapp import limits
from calapp.accounts import service, unsaved
from calapp.accounts.models import UnsavedForm, User
from calapp.db import db, transaction
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.conftest import PASSWORD, Clock, on_both_databases

pytestmark = on_both_databases
NEW = "/event-types/new"
TYPED = {"title": "Long <talk>", "slug": "long-talk", "length": "45", "description": "About\nit"}


@pytest.fixture(autouse=True)
def tokens(app: Flask) -> None:
    """Forms need their token, as in production."""
    app.config.update(WTF_CSRF_ENABLED=True)


def token_of(page: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]


def sign_in(browser: FlaskClient, name: str = "rick", page: str = "/login") -> object:
    token = token_of(browser.get(page).text)
    return browser.post("/login", data={"csrf_token": token, "username": name, "password": PASSWORD})


def sign_out(browser: FlaskClient) -> None:
    browser.post("/logout", data={"csrf_token": token_of(browser.get("/settings").text)})


def opened(browser: FlaskClient, page: str = NEW) -> dict[str, str]:
    """Open a page with a form, and return the token that it will be sent with."""
    return {"csrf_token": token_of(browser.get(page).text)}


def fields_of(page: str) -> list[tuple[str, str]]:
    """Return what the form that sends again has."""
    form = page[page.index('action="/login/unsaved"') : page.index("Send again")]
    pairs = re.findall(r'name="([^"]+)"[^>]*?(?: value="([^"]*)")?>', form)
    return [(name, unescape(value)) for name, value in pairs]


def kept() -> int:
    return db.session().scalar(select(func.count()).select_from(UnsavedForm))


def titles() -> list[str]:
    return list(db.session().scalars(select(EventType.title).order_by(EventType.id)))


@pytest.fixture
def browser(app: Flask, rick: User) -> FlaskClient:
    """Rick's browser; he has signed in by the form."""
    browser = app.test_client()
    sign_in(browser)
    return browser


@pytest.fixture
def left(browser: FlaskClient) -> FlaskClient:
    """A browser whose host has signed out in another tab, and has then sent what was typed in the first."""
    token = opened(browser)
    sign_out(browser)
    answer = browser.post(NEW, data=token | TYPED, headers={"Referer": f"http://127.0.0.1:5000{NEW}"})
    assert (answer.status_code, answer.location) == (303, "/login?next=%2Fevent-types%2Fnew")
    return browser


def test_v13_what_was_typed_is_sent_after_the_sign_in_by_a_button(left: FlaskClient) -> None:
    assert "What you typed is kept for ten minutes" in left.get("/login").text
    assert sign_in(left).location == "/login/unsaved"
    page = left.get("/login/unsaved").text
    assert "Long &lt;talk&gt;" in page
    assert titles() == []
    fields = fields_of(page)
    assert set(fields) >= set(TYPED.items())
    answer = left.post("/login/unsaved", data=dict(fields))
    assert (answer.status_code, answer.location) == (307, NEW)
    assert left.post(NEW, data=dict(fields)).status_code == 303
    assert titles() == ["Long <talk>"]


def test_v13_the_same_when_the_session_was_ended_elsewhere(app: Flask, browser: FlaskClient) -> None:
    token = opened(browser)
    elsewhere = app.test_client()
    sign_in(elsewhere)
    elsewhere.post("/settings/sign-out-everywhere", data=opened(elsewhere, "/settings"))
    assert browser.post(NEW, data=token | TYPED).location == "/login?next=%2F"
    assert sign_in(browser).location == "/login/unsaved"
    assert "Long &lt;talk&gt;" in browser.get("/login/unsaved").text


def test_v13_who_has_signed_in_again_in_the_other_tab_goes_straight_to_it(browser: FlaskClient) -> None:
    token = opened(browser)
    sign_out(browser)
    sign_in(browser)
    assert browser.post(NEW, data=token | TYPED).location == "/login/unsaved"
    assert "Long &lt;talk&gt;" in browser.get("/login/unsaved").text


def test_v13_an_error_comes_back_with_what_was_typed(left: FlaskClient) -> None:
    sign_in(left)
    fields = dict(fields_of(left.get("/login/unsaved").text)) | {"length": "many"}
    path = left.post("/login/unsaved", data=fields).location
    answer = left.post(path, data=fields)
    assert answer.status_code == 422
    assert "Long &lt;talk&gt;" in answer.text


def test_v13_it_is_sent_once_but_for_a_second_click(left: FlaskClient, clock: Clock) -> None:
    sign_in(left)
    fields = dict(fields_of(left.get("/login/unsaved").text))
    assert [left.post("/login/unsaved", data=fields).status_code for _ in range(2)] == [307, 307]
    assert left.get("/login/unsaved").status_code == 303
    clock.shift(unsaved.SECOND_CLICK.total_seconds() + 1)
    assert left.post("/login/unsaved", data=fields).location == "/bookings/upcoming"
    assert "nothing left to send" in left.get("/bookings/upcoming").text


def test_v13_another_user_never_gets_it(left: FlaskClient, bob: User) -> None:
    assert sign_in(left, "bob").location == "/bookings/upcoming"
    assert kept() == 0
    assert left.get("/login/unsaved").location == "/bookings/upcoming"
    sign_out(left)
    assert sign_in(left).location == "/bookings/upcoming"


def test_v13_a_page_of_another_host_is_not_kept(browser: FlaskClient, bob: User) -> None:
    token = opened(browser)
    sign_out(browser)
    sign_in(browser, "bob")
    assert browser.post(NEW, data=token | TYPED).status_code == 400
    assert kept() == 0


def test_v13_another_browser_does_not_find_it(app: Flask, left: FlaskClient) -> None:
    stranger = app.test_client()
    assert sign_in(stranger).location == "/bookings/upcoming"
    assert stranger.get("/login/unsaved").location == "/bookings/upcoming"
    assert kept() == 1


@pytest.mark.parametrize("token", ["", "made-up", "IjEuMDAwMCI.x.y"])
def test_v13_a_form_of_another_site_is_not_kept(app: Flask, rick: User, token: str) -> None:
    answer = app.test_client().post(NEW, data=TYPED | {"csrf_token": token})
    assert answer.status_code == 400
    assert kept() == 0


def test_v13_the_token_of_a_page_before_the_sign_in_keeps_nothing(app: Flask, rick: User) -> None:
    stranger = app.test_client()
    token = opened(stranger, "/login")
    assert app.test_client().post(NEW, data=token | TYPED).status_code == 400
    assert kept() == 0


def test_v13_secrets_are_not_kept_but_asked_for_again(
    browser: FlaskClient, saved: Callable[..., None]
) -> None:
    page = "/integrations/webhooks/new"
    token = opened(browser, page)
    sign_out(browser)
    fields = {
        "subscriber_url": "https://example.com/hook",
        "triggers": ["BOOKING_CREATED", "BOOKING_CANCELLED"],
        "active": "1",
        "secret": "a-secret-of-the-host",
        "header_name": ["X-One", "X-Two"],
        "header_value": ["", "a-header-of-the-host"],
    }
    assert browser.post(page, data=token | fields).status_code == 303
    stored = db.session().scalar(select(UnsavedForm))
    assert "example.com" not in stored.sealed_form
    assert "of-the-host" not in str(unsaved._opened(stored))
    sign_in(browser)
    shown = browser.get("/login/unsaved").text
    assert "of-the-host" not in shown
    pairs = fields_of(shown)
    assert [pair for pair in pairs if pair[0].startswith(("trig", "header", "secret"))] == [
        ("triggers", "BOOKING_CREATED"),
        ("triggers", "BOOKING_CANCELLED"),
        ("secret", ""),
        ("header_name", "X-One"),
        ("header_name", "X-Two"),
        ("header_value", ""),
        ("header_value", ""),
    ]
    assert shown.count('type="password"') == 2
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        sent.setdefault(name, []).append({"secret": "typed-once-more-1234"}.get(name, value))
    sent["header_value"] = ["1", "2"]
    assert browser.post("/login/unsaved", data=sent).location == page
    assert browser.post(page, data=sent).status_code == 303
    webhook = db.session().scalar(select(Webhook))
    assert webhook.triggers == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_v13_after_ten_minutes_it_is_gone(left: FlaskClient, clock: Clock) -> None:
    clock.shift(unsaved.LIFETIME.total_seconds() + 1)
    assert "kept for ten minutes" not in left.get("/login").text
    assert sign_in(left).location == "/bookings/upcoming"
    assert kept() == 1
    with transaction() as session:
        assert service.remove_expired_forms(session) == 1
    assert kept() == 0


def test_v13_discarding_leads_back_to_the_page(left: FlaskClient) -> None:
    sign_in(left)
    token = opened(left, "/login/unsaved")
    assert left.post("/login/unsaved/discard", data=token).location == NEW
    assert kept() == 0
    assert titles() == []


def test_v13_a_button_alone_is_not_kept(browser: FlaskClient, quick_chat: EventType) -> None:
    token = opened(browser)
    sign_out(browser)
    assert browser.post(f"/event-types/{quick_chat.id}/delete", data=token).status_code == 400
    assert browser.post("/logout", data=token).status_code == 400
    assert kept() == 0


def test_v13_too_much_and_too_many_are_not_kept(browser: FlaskClient) -> None:
    token = opened(browser)
    sign_out(browser)
    large = TYPED | {"description": '"' * (limits.TYPED_BYTES // 5 + 1)}
    assert browser.post(NEW, data=token | large).status_code == 400
    answers = [browser.post(NEW, data=token | TYPED).status_code for _ in range(limits.UNSAVED_FORMS + 1)]
    assert answers == [303] * limits.UNSAVED_FORMS + [400]
    assert kept() == limits.UNSAVED_FORMS


def test_v13_a_key_that_was_lost_leaves_a_page_that_says_so(
    left: FlaskClient, change: Callable[..., None]
) -> None:
    sign_in(left)
    change(db.session().scalar(select(UnsavedForm)), sealed_form="\x01enc1:00000000:gAAAAx")
    assert left.get("/login/unsaved").location == "/bookings/upcoming"
