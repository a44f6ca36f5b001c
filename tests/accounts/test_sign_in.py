"""Signing in and out."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from calapp.accounts import service
from calapp.accounts.models import User
from calapp.db import transaction
from tests.conftest import PASSWORD

WRONG = "Wrong username or password."


def sign_in(browser: FlaskClient, name: str = "rick", password: str = PASSWORD, **more: str):
    return browser.post("/login", data={"username": name, "password": password, **more})


def test_the_start_leads_strangers_to_the_sign_in(client: FlaskClient) -> None:
    assert client.get("/").location == "/login"


def test_the_start_leads_hosts_to_their_bookings(rick_client: FlaskClient) -> None:
    assert rick_client.get("/").location == "/bookings/upcoming"


def test_a_sign_in_ends_at_the_bookings(client: FlaskClient, rick: User) -> None:
    answer = sign_in(client)
    assert (answer.status_code, answer.location) == (303, "/bookings/upcoming")


def test_a_sign_in_ends_where_the_host_wanted_to_go(client: FlaskClient, rick: User) -> None:
    assert sign_in(client, next="/event-types?page=2").location == "/event-types?page=2"


def test_a_name_may_be_written_in_any_case(client: FlaskClient, rick: User) -> None:
    assert sign_in(client, name=" Rick ").status_code == 303


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https:evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "///evil.example",
        "evil.example",
        "",
    ],
)
def test_a_sign_in_never_leads_elsewhere(client: FlaskClient, rick: User, elsewhere: str) -> None:
    assert sign_in(client, next=elsewhere).location == "/bookings/upcoming"


def test_who_is_signed_in_already_goes_on(rick_client: FlaskClient) -> None:
    assert rick_client.get("/login?next=/settings").location == "/settings"


def without_token(page: str) -> str:
    return re.sub(r'(csrf[_-]token[^>]*?(?:value|content)=")[^"]*|"[\w-]+\.[\w-]+\.[\w-]+"', "", page)


def test_a_wrong_password_says_no_more_than_an_unknown_name(client: FlaskClient, rick: User) -> None:
    wrong = sign_in(client, password="wrong")
    unknown = sign_in(client, name="nobody", password="wrong")
    assert wrong.status_code == unknown.status_code == 422
    assert without_token(wrong.text).replace("rick", "nobody") == without_token(unknown.text)
    assert WRONG in wrong.text


def test_an_unknown_name_costs_a_hash_too(app: Flask, rick: User, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(service, "check_password_hash", lambda kept, _given: bool(checked.append(kept)))
    for name in ("rick", "nobody"):
        with transaction() as session, pytest.raises(service.Invalid):
            service.authenticate(session, name, "wrong")
    assert [kept.split(":")[0] for kept in checked] == ["scrypt", "scrypt"]


def test_a_failed_sign_in_keeps_the_name_but_not_the_password(client: FlaskClient, rick: User) -> None:
    page = sign_in(client, password="my secret guess").text
    assert 'value="rick"' in page
    assert "my secret guess" not in page


def test_an_empty_sign_in_is_told_at_the_fields(client: FlaskClient) -> None:
    answer = sign_in(client, name="", password="")
    assert answer.status_code == 422
    assert answer.text.count('aria-invalid="true"') == 2


def test_nothing_of_an_earlier_session_survives_the_sign_in(client: FlaskClient, rick: User) -> None:
    with client.session_transaction() as cookies:
        cookies["planted"] = "by an attacker"
    sign_in(client)
    with client.session_transaction() as cookies:
        assert "planted" not in cookies


def test_the_cookie_is_kept_from_scripts_and_strangers(client: FlaskClient, rick: User) -> None:
    cookie = sign_in(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_signing_out_ends_the_session(rick_client: FlaskClient) -> None:
    answer = rick_client.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert rick_client.get("/settings").location == "/login?next=%2Fsettings"


def test_a_link_cannot_sign_anybody_out(rick_client: FlaskClient) -> None:
    assert rick_client.get("/logout").status_code == 404
    assert rick_client.get("/settings").status_code == 200


@pytest.mark.parametrize("login_id", ["", ".", "x.y", "1", "1.wrong", "٣.x", "9" * 30 + ".x", "-1.x"])
def test_a_made_up_session_is_nobodys(session: Session, rick: User, login_id: str) -> None:
    assert service.find_session(session, login_id) is None


@pytest.mark.parametrize(
    "stored", ["sha1$salt$0123", "md5$$", "bcrypt$a$b", "scrypt:x:y:z$a$b", "nonsense", ""]
)
def test_v10_a_hash_that_nobody_knows_any_more_fits_no_password(
    client: FlaskClient, rick: User, change, stored: str
) -> None:
    change(rick, password_hash=stored)
    answer = sign_in(client)
    assert (answer.status_code, WRONG in answer.text) == (422, True)
