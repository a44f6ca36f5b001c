"""An email address counts once its link was opened: of a newcomer, and when a host changes it."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import config, limits, mail
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.db import transaction
from calapp.mail import Email, post
from tests.accounts.test_sign_up import sign_up

PROFILE = {"name": "Rick", "email": "new@example.com", "time_zone": "Europe/Berlin"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, smtp_url="smtp://127.0.0.1:1")


@pytest.fixture
def links(session: Session) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that gives the recipient and the path of each link that was sent."""

    def read() -> list[tuple[str, str]]:
        session.rollback()
        emails = session.scalars(select(Email).where(Email.has_link).order_by(Email.id)).all()
        return [(one.recipient, re.search(r"/settings/email/\S+", one.body)[0]) for one in emails]

    return read


def written(user: User) -> None:
    with transaction() as session:
        post(session, [Email(user_id=user.id, recipient="v@example.com", subject="Booked", body="Text")])


def due(session: Session) -> list[str]:
    """Return whom the emails go to that would be sent now."""
    session.rollback()
    return [one.recipient for one in session.scalars(select(Email).where(Email.due_at.is_not(None)))]


def test_a_newcomers_emails_wait_until_the_address_is_confirmed(
    client: FlaskClient, session: Session, links
) -> None:
    assert sign_up(client).status_code == 303
    ada = session.scalars(select(User)).one()
    written(ada)
    assert due(session) == ["ada@example.com"]
    assert "emails to you and your visitors wait" in client.get("/event-types").text
    ((_, path),) = links()
    anybody = client.application.test_client()
    assert "Confirm" in anybody.get(path).text
    assert due(session) == ["ada@example.com"]  # looking confirms nothing
    assert "is confirmed" in anybody.post(path).text
    assert due(session) == ["ada@example.com", "v@example.com"]
    assert "visitors wait" not in client.get("/event-types").text
    assert anybody.post(path).status_code == 410


def test_a_changed_address_counts_when_it_is_confirmed(
    rick: User, rick_client: FlaskClient, session: Session, links
) -> None:
    rick_client.post("/settings", data=PROFILE)
    ((recipient, path),) = links()
    assert (recipient, rick.email) == ("new@example.com", "rick@example.com")
    assert "Until then, emails go to rick@example.com" in rick_client.get("/settings").text
    rick_client.post("/settings", data=PROFILE | {"email": "rick@example.com", "name": "Ricky"})
    rick_client.post(path)
    session.rollback()
    assert (rick.email, rick.pending_email, rick.name) == ("new@example.com", None, "Ricky")


def test_the_link_to_an_address_that_was_changed_again_leads_nowhere(
    rick: User, rick_client: FlaskClient, session: Session, links
) -> None:
    rick_client.post("/settings", data=PROFILE)
    rick_client.post("/settings", data=PROFILE | {"email": "newer@example.com"})
    (_, first), _ = links()
    assert rick_client.post(first).status_code == 410
    rick_client.post("/settings/email/keep")
    assert [rick_client.post(path).status_code for _, path in links()] == [410, 410]
    session.rollback()
    assert (rick.email, rick.pending_email) == ("rick@example.com", None)


def test_a_link_is_sent_again_but_not_for_ever(rick: User, rick_client: FlaskClient, links) -> None:
    rick_client.post("/settings", data=PROFILE)
    for _ in range(limits.LINKS_PER_HOUR):
        rick_client.post("/settings/email/send")
    assert [recipient for recipient, _ in links()] == ["new@example.com"] * limits.LINKS_PER_HOUR
    assert "look into your spam folder" in rick_client.get("/settings").text


def test_a_newcomer_corrects_an_address_that_was_mistyped(
    client: FlaskClient, session: Session, links
) -> None:
    sign_up(client, email="adda@example.com")
    client.post("/settings", data={"name": "Ada", "email": "ada@example.com", "time_zone": "UTC"})
    (_, first), (recipient, second) = links()
    assert (recipient, client.post(first).status_code, client.post(second).status_code) == (
        "ada@example.com", 410, 200,
    )  # fmt: skip


def test_what_was_discarded_is_not_sent_after_all(client: FlaskClient, session: Session, links) -> None:
    sign_up(client)
    ada = session.scalars(select(User)).one()
    with transaction() as writing:
        email = Email(user_id=ada.id, about="x", recipient="v@example.com", subject="Booked", body="Text")
        post(writing, [email])
        mail.supersede_parked(writing, ["x"])
    client.post(links()[0][1])
    assert due(session) == ["ada@example.com"]


def test_without_a_mail_server_an_address_counts_immediately(client: FlaskClient, session: Session) -> None:
    config.use(replace(config.settings(), smtp_url=""))
    sign_up(client)
    client.post("/settings", data={"name": "Ada", "email": "b@example.com", "time_zone": "UTC"})
    ada = session.scalars(select(User)).one()
    assert (ada.email, ada.pending_email, ada.unconfirmed_since) == ("b@example.com", None, None)
    assert session.scalars(select(Email)).all() == []
