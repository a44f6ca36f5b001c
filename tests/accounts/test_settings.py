"""A host's own settings."""

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from tests.conftest import PASSWORD, signed_in

NEW = "a much better one"


def change(browser: FlaskClient, current: str = PASSWORD, new: str = NEW):
    return browser.post("/settings/password", data={"current_password": current, "new_password": new})


def test_strangers_are_led_to_the_sign_in_and_back(client: FlaskClient) -> None:
    assert client.get("/settings?a=b").location == "/login?next=%2Fsettings%3Fa%3Db"


def test_the_settings_show_what_is_kept(rick_client: FlaskClient) -> None:
    page = rick_client.get("/settings").text
    assert 'value="rick@example.com"' in page
    assert '<option value="Europe/Berlin" selected>' in page


def test_a_host_changes_name_mail_and_zone(rick_client: FlaskClient, rick: User, session: Session) -> None:
    data = {"name": "Rick S", "email": "r@example.org", "time_zone": "Asia/Calcutta"}
    answer = rick_client.post("/settings", data=data)
    session.refresh(rick)
    assert (answer.status_code, answer.location) == (303, "/settings")
    assert (rick.name, rick.email, rick.time_zone) == ("Rick S", "r@example.org", "Asia/Calcutta")
    page = rick_client.get("/settings").text
    assert "Saved." in page
    assert '<option value="Asia/Kolkata" selected>' in page


def test_a_bad_mail_address_changes_nothing(rick_client: FlaskClient, rick: User, session: Session) -> None:
    answer = rick_client.post("/settings", data={"name": "R", "email": "x", "time_zone": "UTC"})
    session.refresh(rick)
    assert answer.status_code == 422
    assert 'value="x"' in answer.text
    assert rick.name == "Rick"


def test_a_field_that_is_not_offered_is_not_changed(
    rick_client: FlaskClient, rick: User, session: Session
) -> None:
    data = {"name": "Rick", "email": "r@example.org", "time_zone": "UTC", "username": "boss", "id": "99"}
    rick_client.post("/settings", data=data)
    session.refresh(rick)
    assert rick.username == "rick"


def test_a_new_password_ends_the_other_sessions(app: Flask, rick: User) -> None:
    here, there = signed_in(app, rick), signed_in(app, rick)
    assert change(here).status_code == 303
    assert here.get("/settings").status_code == 200
    assert there.get("/settings").location.startswith("/login")


def test_the_new_password_is_the_one_that_counts(rick_client: FlaskClient, client: FlaskClient) -> None:
    change(rick_client)
    old = client.post("/login", data={"username": "rick", "password": PASSWORD})
    new = client.post("/login", data={"username": "rick", "password": NEW})
    assert (old.status_code, new.status_code) == (422, 303)


def test_a_new_password_needs_the_present_one(rick_client: FlaskClient, client: FlaskClient) -> None:
    answer = change(rick_client, current="wrong")
    assert answer.status_code == 422
    assert 'id="field-current_password-error"' in answer.text
    assert client.post("/login", data={"username": "rick", "password": PASSWORD}).status_code == 303


def test_a_short_password_is_told_at_its_place(rick_client: FlaskClient) -> None:
    answer = change(rick_client, new="short")
    assert answer.status_code == 422
    assert 'id="field-new_password-error"' in answer.text
