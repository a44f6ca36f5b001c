"""Signing up."""

from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp import config
from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours

ADA = {
    "username": "ada",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "password": "correct horse",
    "time_zone": "Europe/London",
}


def sign_up(browser: FlaskClient, **changes: str):
    return browser.post("/signup", data={**ADA, **changes})


def use_settings(app: Flask, **changes: str) -> None:
    config.use(replace(config.settings(), **changes))


def users(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(User)) or 0


def test_the_first_person_signs_up_and_is_signed_in(client: FlaskClient, session: Session) -> None:
    answer = sign_up(client)
    assert (answer.status_code, answer.location) == (303, "/integrations/first-steps")
    assert client.get("/settings").status_code == 200
    assert session.scalars(select(User)).one().time_zone == "Europe/London"


def test_the_password_is_kept_as_a_scrypt_hash_only(client: FlaskClient, session: Session) -> None:
    sign_up(client)
    assert session.scalars(select(User)).one().password_hash.startswith("scrypt:32768:8:1$")


def test_nobody_else_signs_up_while_only_the_first_may(client: FlaskClient, rick: User) -> None:
    assert client.get("/signup").status_code == 403
    assert sign_up(client).status_code == 403
    assert "Sign up" not in client.get("/login").text


def test_anybody_signs_up_on_an_open_server(app: Flask, client: FlaskClient, rick: User) -> None:
    use_settings(app, signup="open")
    assert sign_up(client).status_code == 303


def test_nobody_signs_up_on_a_closed_server(app: Flask, client: FlaskClient, session: Session) -> None:
    use_settings(app, signup="closed")
    assert sign_up(client).status_code == 403
    assert users(session) == 0


def test_a_sign_up_needs_the_code_that_was_printed(app: Flask, client: FlaskClient) -> None:
    use_settings(app, signup_code="k9-é")
    assert "Sign-up code" in client.get("/signup").text
    wrong = sign_up(client, code="guess")
    assert wrong.status_code == 422
    assert "Wrong code" in wrong.text
    assert sign_up(client, code="k9-é").status_code == 303


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a"),
        ("username", "login"),
        ("username", "Event-Types"),
        ("username", "-ada"),
        ("username", "ada/x"),
        ("username", "ada.ics"),
        ("username", "adä"),
        ("username", "x" * 41),
        ("name", "   "),
        ("name", "x" * 101),
        ("email", "ada"),
        ("email", "ada@"),
        ("email", "a" * 250 + "@example.com"),
        ("password", "short"),
        ("password", "x" * 201),
        ("time_zone", "Mars/Base"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
    ],
)
def test_a_bad_field_is_told_at_its_place(
    client: FlaskClient, session: Session, field: str, value: str
) -> None:
    answer = sign_up(client, **{field: value})
    assert answer.status_code == 422
    assert f'id="field-{field}-error"' in answer.text
    assert answer.text.count("aria-invalid") == 1
    assert users(session) == 0


def test_a_taken_name_is_told_at_its_place(app: Flask, client: FlaskClient, rick: User) -> None:
    use_settings(app, signup="open")
    answer = sign_up(client, username="RICK")
    assert answer.status_code == 422
    assert "This name is taken" in answer.text


def test_what_was_typed_is_kept_but_the_password(client: FlaskClient) -> None:
    page = sign_up(client, email="nonsense").text
    assert 'value="Ada Lovelace"' in page
    assert 'value="nonsense"' in page
    assert "correct horse" not in page
    assert '<option value="Europe/London" selected>' in page


def test_an_old_zone_name_is_accepted(client: FlaskClient, session: Session) -> None:
    sign_up(client, time_zone="US/Eastern")
    assert session.scalars(select(User)).one().time_zone == "US/Eastern"


def test_a_missing_form_is_an_error_not_a_crash(client: FlaskClient) -> None:
    assert client.post("/signup", data={"username": ["a", "b"]}).status_code == 422
    assert client.post("/signup", json={"username": 1}).status_code == 422


def test_the_templates_name_only_icons_that_exist(app: Flask) -> None:
    shapes = app.jinja_env.get_template("_icons.html").module.shapes
    sources = [path.read_text() for path in Path(app.root_path, "templates").rglob("*.html")]
    named = {part.split('"')[0] for text in sources for part in text.split('icon("')[1:]}
    assert named <= set(shapes)


def test_a_newcomer_can_be_booked_in_office_hours_at_once(client: FlaskClient, session: Session) -> None:
    sign_up(client)
    rows = session.scalars(select(WeeklyHours)).all()
    assert [row.weekday for row in rows] == [0, 1, 2, 3, 4]
    assert {(row.start_minute, row.end_minute) for row in rows} == {(540, 1020)}


def test_a_newcomer_finds_a_link_to_share_and_what_to_do_next(client: FlaskClient) -> None:
    page = client.get(sign_up(client).location).text
    assert "http://127.0.0.1:5000/ada/30min" in page
    assert ("#calendars" in page, "#webhooks" in page) == (True, True)
    assert client.get("/ada/30min").status_code == 200
    assert "Europe/London" in page


def test_a_newcomer_who_came_from_a_page_goes_back_there(client: FlaskClient) -> None:
    assert sign_up(client, next="/event-types").location == "/event-types"
