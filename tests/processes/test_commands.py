"""The commands of `flask`, as an operator types them."""

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash

from calapp.accounts.models import ApiKey, User
from calapp.accounts.service import find_user
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook


def flask(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=list(words))


def test_a_user_is_made_with_the_password_given(app: Flask, session: Session) -> None:
    result = flask(app, "create-user", "ann", "--password", "long enough", "--time-zone", "Asia/Tokyo")
    assert (result.exit_code, result.output) == (0, "Created the user ann.\n")
    user = find_user(session, "ann")
    assert check_password_hash(user.password_hash, "long enough")
    assert (user.time_zone, user.email) == ("Asia/Tokyo", "ann@localhost")


def test_a_password_is_made_when_none_is_given(app: Flask, session: Session) -> None:
    result = flask(app, "create-user", "ann")
    password = result.output.strip().removesuffix(".").rsplit(" ", 1)[1]
    assert check_password_hash(find_user(session, "ann").password_hash, password)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rick"], "taken"),
        (["login"], ""),
        (["Not a name"], ""),
        (["ann", "--password", "short"], "at least 8 characters"),
        (["ann", "--email", "nobody"], "email"),
        (["ann", "--time-zone", "Mars/Base"], "Unknown time zone Mars/Base"),
        (["ann", "--full-name", " "], "1 to 100 characters"),
    ],
)
def test_a_user_that_cannot_be_is_refused(app: Flask, rick: User, words: list[str], said: str) -> None:
    result = flask(app, "create-user", *words)
    assert result.exit_code in {1, 2}
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_new_password_ends_the_old_sessions(app: Flask, rick: User, session: Session) -> None:
    before = rick.session_token
    result = flask(app, "set-password", "rick", "--password", "another one")
    session.expire_all()
    assert (result.exit_code, rick.session_token != before) == (0, True)
    assert check_password_hash(rick.password_hash, "another one")


@pytest.mark.parametrize(
    "words", [["set-password", "ann", "--password", "long enough"], ["create-api-key", "ann"]]
)
def test_an_unknown_user_is_named(app: Flask, words: list[str]) -> None:
    result = flask(app, *words)
    assert (result.exit_code, result.output) == (1, "Error: There is no user ann.\n")


def test_an_api_key_is_printed_once_and_stored_hashed(app: Flask, rick: User, session: Session) -> None:
    printed = flask(app, "create-api-key", "rick").output.strip()
    stored = session.scalars(select(ApiKey)).one()
    assert printed.startswith("cal_")
    assert printed not in {str(value) for value in vars(stored).values()}


def test_the_demo_host_has_what_a_newcomer_needs(app: Flask, session: Session) -> None:
    assert flask(app, "seed-demo").exit_code == 0
    slugs = session.scalars(select(EventType.slug).order_by(EventType.position)).all()
    assert slugs == ["quick-chat", "30min"]
    assert "/hooks/in/" in session.scalars(select(Webhook)).one().subscriber_url


def test_the_demo_host_is_made_once(app: Flask, session: Session) -> None:
    flask(app, "seed-demo")
    assert flask(app, "seed-demo").exit_code == 1
    assert session.scalar(select(func.count()).select_from(User)) == 1


def test_pruning_says_what_it_removed(app: Flask) -> None:
    said = "attempts 0, bodies 0, deliveries 0, the visitors of bookings 0."
    assert flask(app, "prune").output == f"Removed {said}\n"
