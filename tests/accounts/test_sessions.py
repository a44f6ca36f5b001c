"""Sessions are known to the server: a copied cookie is worth nothing once its session has ended."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login import encode_cookie
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from calapp import clock
from calapp.accounts import service
from calapp.accounts.models import User, UserSession
from calapp.db import db, transaction
from calapp.limits import SESSIONS_PER_HOST
from calapp.privacy.service import export
from tests.conftest import PASSWORD, signed_in

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SIGNED_OUT = "/login?next=%2Fsettings"


def browser_of(app: Flask, name: str = "rick", password: str = PASSWORD) -> FlaskClient:
    """Return a browser that has signed in by the form."""
    browser = app.test_client()
    answer = browser.post(
        "/login", data={"username": name, "password": password}, headers={"User-Agent": FIREFOX}
    )
    assert answer.status_code == 303, answer.text
    return browser


def copy_of(app: Flask, browser: FlaskClient) -> FlaskClient:
    """Return another browser with the same cookie."""
    thief = app.test_client()
    thief.set_cookie("calapp", browser.get_cookie("calapp").value)
    return thief


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/settings").status_code == 200


def count() -> int:
    return db.session().scalar(select(func.count()).select_from(UserSession))


@pytest.mark.parametrize("end", ["/logout", "/settings/sign-out-everywhere"])
def test_k6_a_copied_cookie_is_worth_nothing_after_the_sign_out(app: Flask, rick: User, end: str) -> None:
    browser = browser_of(app)
    thief = copy_of(app, browser)
    assert is_in(thief)
    assert browser.post(end).location == "/login"
    assert thief.get("/settings").location == SIGNED_OUT
    assert count() == 0


def test_k6_signing_out_leaves_other_browsers_signed_in(app: Flask, rick: User) -> None:
    here, there = browser_of(app), browser_of(app)
    here.post("/logout")
    assert (is_in(here), is_in(there)) == (False, True)


def test_k6_sign_out_everywhere_ends_the_sessions_of_this_host_alone(
    app: Flask, rick: User, bob: User
) -> None:
    here, there, strangers = browser_of(app), browser_of(app), browser_of(app, "bob")
    here.post("/settings/sign-out-everywhere")
    assert [is_in(one) for one in (here, there, strangers)] == [False, False, True]


def test_k6_a_new_password_ends_all_sessions_but_this(app: Flask, rick: User) -> None:
    here, there = browser_of(app), browser_of(app)
    thief = copy_of(app, here)
    form = {"current_password": PASSWORD, "new_password": "another one"}
    assert here.post("/settings/password", data=form).status_code == 303
    assert [is_in(one) for one in (here, there, thief)] == [True, False, False]


def test_k6_a_password_set_on_the_command_line_ends_all_sessions(app: Flask, rick: User) -> None:
    browser, old = browser_of(app), signed_in(app, rick)
    result = app.test_cli_runner().invoke(args=["set-password", "rick", "--password", "another one"])
    assert result.exit_code == 0, result.output
    assert (is_in(browser), is_in(old)) == (False, False)


def test_k6_a_remember_cookie_is_worth_no_more_than_its_session(app: Flask, rick: User) -> None:
    browser, thief = browser_of(app), app.test_client()
    with browser.session_transaction() as cookies, app.test_request_context():
        thief.set_cookie("remember_token", encode_cookie(cookies["_user_id"]))
    assert is_in(copy_of(app, browser))
    browser.post("/logout")
    assert thief.get("/settings").location == SIGNED_OUT


def test_k6_cookies_from_before_the_upgrade_end_with_the_first_sign_out(app: Flask, rick: User) -> None:
    old, other = signed_in(app, rick), signed_in(app, rick)
    new = browser_of(app)
    assert (is_in(old), is_in(other)) == (True, True)
    old.post("/logout")
    assert [is_in(one) for one in (old, other, new)] == [False, False, True]


def test_k6_settings_show_where_the_host_is_signed_in_and_end_one(app: Flask, rick: User) -> None:
    here, there = browser_of(app), browser_of(app)
    page = here.get("/settings").text
    assert page.count("Firefox on Linux</span>") == 2
    assert page.count("This browser") == 1
    with there.session_transaction() as cookies:
        number = service.session_id_in(cookies["_user_id"])
    assert here.post(f"/settings/sessions/{number}/end").location == "/settings"
    assert (is_in(here), is_in(there)) == (True, False)


def test_k6_nobody_ends_the_session_of_another_host(app: Flask, rick: User, bob: User) -> None:
    mine, strangers = browser_of(app), browser_of(app, "bob")
    with strangers.session_transaction() as cookies:
        number = service.session_id_in(cookies["_user_id"])
    mine.post(f"/settings/sessions/{number}/end")
    assert is_in(strangers)


@pytest.mark.parametrize(
    "forged",
    ["", "1", "1.", "1.1.", "1.1.x", "1.1.é", "9" * 30 + ".1.x", "1.9999999999.x", "x.y.z", "1.1.1.1", "²."],
)
def test_k6_a_forged_session_is_nobodys(app: Flask, rick: User, forged: str) -> None:
    browser_of(app)
    thief = app.test_client()
    with thief.session_transaction() as cookies:
        cookies["_user_id"] = forged
    assert thief.get("/settings").location == SIGNED_OUT


def test_k6_a_session_of_one_host_does_not_open_another(app: Flask, rick: User, bob: User) -> None:
    browser = browser_of(app)
    with browser.session_transaction() as cookies:
        _user, number, token = cookies["_user_id"].split(".")
        cookies["_user_id"] = f"{bob.id}.{number}.{token}"
    assert not is_in(browser)


def test_k6_a_session_that_is_not_used_ends_and_is_removed(
    app: Flask, rick: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, later = browser_of(app), clock.now() + service.SESSION_LIFETIME + timedelta(hours=1)
    monkeypatch.setattr(service, "now", lambda: later)
    assert not is_in(browser)
    with transaction() as session:
        assert service.remove_expired_sessions(session) == 1
    assert count() == 0


def test_k6_a_session_that_is_used_stays_and_is_written_at_most_once_an_hour(
    app: Flask, rick: User, change: Callable[..., None]
) -> None:
    browser = browser_of(app)
    row = db.session().scalar(select(UserSession))
    change(row, last_seen_at=clock.now() - timedelta(days=30))
    for _ in range(2):
        assert is_in(browser)
    db.session().expire_all()
    assert clock.now() - db.session().scalar(select(UserSession)).last_seen_at < timedelta(minutes=5)


def test_k6_a_request_costs_one_look_up(app: Flask, rick: User) -> None:
    browser, seen = browser_of(app), []
    event.listen(db.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    browser.get("/")
    assert len([one for one in seen if "user_session" in one or '"user"' in one or "FROM user" in one]) == 1


def test_k6_a_program_that_signs_in_again_and_again_leaves_a_bounded_number(app: Flask, rick: User) -> None:
    for _ in range(SESSIONS_PER_HOST + 5):
        with transaction() as session:
            service.begin_session(session, session.get_one(User, rick.id), "")
    assert count() == SESSIONS_PER_HOST


def test_k6_a_second_sign_in_of_a_browser_ends_its_first_session(app: Flask, rick: User) -> None:
    browser = browser_of(app)
    browser.post("/login", data={"username": "rick", "password": PASSWORD})
    assert count() == 1


def test_k6_an_export_lists_sessions_without_what_lets_somebody_in(app: Flask, rick: User) -> None:
    browser_of(app)
    with app.app_context():
        session: Session = db.session()
        exported = "".join(export(session, session.get_one(User, rick.id)))
        kept = session.scalar(select(UserSession.token_hash))
    assert '"browser": "Firefox on Linux"' in exported
    assert kept not in exported


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/120 Safari/537.36 Edg/120", "Edge on Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/120 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.0", "Unknown browser"),
        ("", "Unknown browser"),
        ("<script>" * 100, "Unknown browser"),
    ],
)
def test_k6_browsers_have_the_names_that_people_know(header: str, name: str) -> None:
    assert service.browser_of(header) == name
