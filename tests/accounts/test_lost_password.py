"""Who has forgotten a password gets a link by email; whether there is such a user is told to nobody."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import config, limits, mail, maintenance
from calapp.accounts.models import AccountLink, User
from calapp.config import Settings
from calapp.db import transaction
from calapp.mail import Email, SendResult
from tests.accounts.test_sign_in import sign_in
from tests.conftest import on_both_databases

pytestmark = on_both_databases
NEW = {"new_password": "a much better one"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, smtp_url="smtp://127.0.0.1:1")


@pytest.fixture
def asked(client: FlaskClient, session: Session) -> Callable[[str], list[str]]:
    """Return a function that asks for a link as a visitor does, and returns the paths of all links sent."""

    def ask(typed: str) -> list[str]:
        answer = client.post("/forgot-password", data={"username": typed})
        assert (answer.status_code, "If there is such an account" in answer.text) == (200, True)
        maintenance.answer_link_requests()
        session.rollback()
        bodies = session.scalars(select(Email.body).where(Email.has_link).order_by(Email.id))
        return [re.search(r"/reset-password/\S+", body)[0] for body in bodies]

    return ask


@pytest.mark.parametrize("typed", ["rick", " RICK ", "rick@example.com", "Rick@Example.com"])
def test_a_link_sets_a_new_password_once(
    rick: User, client: FlaskClient, asked: Callable[[str], list[str]], typed: str
) -> None:
    (path,) = asked(typed)
    assert "Set a new password" in client.get(path).text
    done = client.post(path, data=NEW)
    assert (done.status_code, done.location) == (303, "/bookings/upcoming")
    assert client.get("/settings").status_code == 200  # signed in
    again = client.post(path, data={"new_password": "of somebody else"})
    assert (again.status_code, "already used" in again.text) == (410, True)
    assert sign_in(client.application.test_client(), password=NEW["new_password"]).status_code == 303


def test_the_sessions_of_before_and_other_links_end(
    rick: User, rick_client: FlaskClient, client: FlaskClient, asked: Callable[[str], list[str]]
) -> None:
    asked("rick")
    first, second = asked("rick")
    client.post(second, data=NEW)
    assert rick_client.get("/settings").status_code in {302, 303}
    assert client.get(first).status_code == 410


def test_nobody_learns_whether_there_is_such_a_user(
    rick: User, client: FlaskClient, session: Session, asked: Callable[[str], list[str]]
) -> None:
    pages = [client.post("/forgot-password", data={"username": name}).text for name in ("rick", "nobody")]
    assert pages[0] == pages[1]
    requests = session.scalars(select(AccountLink)).all()
    assert [(one.user_id, one.token_hash) for one in requests] == [(None, None)] * 2
    assert asked("nobody@example.com")[1:] == []
    assert session.scalars(select(AccountLink).where(AccountLink.typed.is_not(None))).all() == []


def test_a_link_is_over_after_an_hour(
    rick: User, client: FlaskClient, clock, asked: Callable[[str], list[str]]
) -> None:
    (path,) = asked("rick")
    clock.shift(3590)
    assert client.get(path).status_code == 200
    clock.shift(20)
    assert client.post(path, data=NEW).status_code == 410
    assert sign_in(client, password=NEW["new_password"]).status_code == 422


def test_a_host_is_sent_so_many_links_in_an_hour_and_they_all_work(
    rick: User, client: FlaskClient, asked: Callable[[str], list[str]]
) -> None:
    for _ in range(limits.LINKS_PER_HOUR + 2):
        paths = asked("rick")
    assert len(paths) == limits.LINKS_PER_HOUR
    assert client.post(paths[0], data=NEW).status_code == 303


def test_a_bad_password_keeps_the_link(
    rick: User, client: FlaskClient, asked: Callable[[str], list[str]]
) -> None:
    (path,) = asked("rick")
    assert client.post(path, data={"new_password": "short"}).status_code == 422
    assert client.post(path, data=NEW).status_code == 303


def test_the_link_is_kept_neither_in_the_database_nor_in_an_export(
    app: Flask, rick: User, session: Session, asked: Callable[[str], list[str]]
) -> None:
    (path,) = asked("rick")
    token = path.rpartition("/")[2]
    assert token not in app.test_cli_runner().invoke(args=["export-user", "rick"]).output
    with transaction() as writing:
        claimed = mail.claim(writing)
        mail.record(writing, claimed, [SendResult(one) for one in claimed])
    session.rollback()
    assert [token in one.body for one in session.scalars(select(Email))] == [False]


@pytest.mark.parametrize("typed", ["", "  ", "x" * 300, "\0", "a@" * 100])
def test_odd_names_are_no_error_of_the_server(client: FlaskClient, session: Session, typed: str) -> None:
    answer = client.post("/forgot-password", data={"username": typed})
    assert answer.status_code in {200, 422}
    maintenance.answer_link_requests()
    assert client.get("/reset-password/nonsense").status_code == 410


def test_without_a_mail_server_the_page_names_the_command(app: Flask, client: FlaskClient, session) -> None:
    config.use(replace(config.settings(), smtp_url=""))
    for answer in (client.get("/forgot-password"), client.post("/forgot-password", data={"username": "a"})):
        assert "flask set-password NAME" in answer.text
    assert session.scalars(select(AccountLink)).all() == []
