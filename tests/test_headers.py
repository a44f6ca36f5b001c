"""The headers of every answer, CSRF tokens, and the cookie under https."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from app import create_app
from calapp.accounts.models import User
from calapp.config import Settings
from tests.conftest import PASSWORD, signed_in

POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@pytest.fixture
def guarded(app: Flask) -> FlaskClient:
    """A browser of an app that wants CSRF tokens."""
    app.config["WTF_CSRF_ENABLED"] = True
    return app.test_client()


def page_with(app: Flask, **said: object) -> Callable[[], str]:
    def view() -> str:
        for name, value in said.items():
            setattr(g, name, value)
        return "<p>page</p>"

    app.add_url_rule("/made-for-this-test", view_func=view)
    return view


@pytest.mark.parametrize("tab", ["upcoming", "unconfirmed", "past", "cancelled"])
def test_every_list_of_bookings_is_shown_where_tokens_are_wanted(app: Flask, rick: User, tab: str) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    assert signed_in(app, rick).get(f"/bookings/{tab}").status_code == 200


@pytest.mark.parametrize("address", ["/login", "/nothing/at/all", "/static/app.css", "/v2/nothing"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, address: str) -> None:
    with client.get(address) as answer:
        headers = answer.headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_pages_are_not_stored_and_vary_with_htmx(client: FlaskClient) -> None:
    headers = client.get("/login").headers
    assert headers["Cache-Control"] == "no-store"
    assert "HX-Request" in headers["Vary"]


def test_styles_and_scripts_may_be_stored(client: FlaskClient) -> None:
    with client.get("/static/app.css") as answer:
        assert "no-store" not in answer.headers["Cache-Control"]


def test_a_page_may_let_itself_be_framed(app: Flask) -> None:
    page_with(app, frameable=True)
    policy = app.test_client().get("/made-for-this-test").headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors *")


def test_what_one_page_allows_is_not_allowed_for_the_next(app: Flask) -> None:
    page_with(app, frameable=True)
    browser = app.test_client()
    browser.get("/made-for-this-test")
    assert browser.get("/login").headers["Content-Security-Policy"] == POLICY


def test_a_form_may_lead_to_one_more_origin(app: Flask) -> None:
    page_with(app, form_action_origin="https://bank.example:8443")
    policy = app.test_client().get("/made-for-this-test").headers["Content-Security-Policy"]
    assert "form-action 'self' https://bank.example:8443;" in policy


@pytest.mark.parametrize(
    "origin", ["https://a.example; script-src *", "https://a b", "javascript:x", "https://a.example,x", "*"]
)
def test_an_origin_cannot_add_a_directive(app: Flask, origin: str) -> None:
    page_with(app, form_action_origin=origin)
    headers = app.test_client().get("/made-for-this-test").headers
    assert headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize("address", ["/login", "/signup"])
def test_no_page_has_scripts_or_styles_of_its_own(client: FlaskClient, address: str) -> None:
    page = client.get(address).text
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|hx-on", page)


def test_a_form_without_its_token_is_refused(guarded: FlaskClient, rick: User) -> None:
    answer = guarded.post("/login", data={"username": "rick", "password": PASSWORD})
    assert answer.status_code == 400
    assert "Please reload the page" in answer.text


def test_a_form_with_its_token_is_taken(guarded: FlaskClient, rick: User) -> None:
    token = TOKEN.findall(guarded.get("/login").text)[0]
    data = {"username": "rick", "password": PASSWORD, "csrf_token": token}
    assert guarded.post("/login", data=data).status_code == 303


def test_the_token_of_another_browser_is_refused(app: Flask, guarded: FlaskClient, rick: User) -> None:
    token = TOKEN.findall(app.test_client().get("/login").text)[0]
    guarded.get("/login")
    data = {"username": "rick", "password": PASSWORD, "csrf_token": token}
    assert guarded.post("/login", data=data).status_code == 400


def test_htmx_brings_the_token_of_the_body_as_a_header(guarded: FlaskClient, rick: User) -> None:
    token = TOKEN.findall(guarded.get("/login").text)[0]
    guarded.post("/login", data={"username": "rick", "password": PASSWORD, "csrf_token": token})
    page = guarded.get("/settings").text
    token = re.findall(r"\"X-CSRFToken\":\"([^\"]+)\"", page)[0]
    assert guarded.post("/logout", headers={"X-CSRFToken": token}).status_code == 303


def test_the_cookie_is_for_https_only_on_a_server_with_https(
    settings: Settings, app: Flask, rick: User
) -> None:
    secure = create_app(replace(settings, base_url="https://cal.example.com"))
    secure.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    form = {"username": "rick", "password": PASSWORD}
    answer = secure.test_client().post("/login", data=form, headers={"Host": "cal.example.com"})
    assert "Secure" in answer.headers["Set-Cookie"]
