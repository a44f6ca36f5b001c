"""An account that is suspended, and one that is deleted: what goes, what stays, and when."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp.accounts.models import Removal, User
from calapp.accounts.service import create_api_key
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Booking
from calapp.db import Model, db, transaction
from calapp.deliveries.models import Event
from calapp.mail import Email
from calapp.maintenance import repeat
from calapp.privacy import removal
from calapp.webhooks.models import Webhook
from tests.bookings.conftest import book  # noqa: F401 (fixture)
from tests.conftest import PASSWORD, on_both_databases
from tests.deliveries.conftest import receiver, webhook  # noqa: F401 (fixtures)
from tests.privacy.traces import dump, flask

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = on_both_databases


def rows_of(user_id: int) -> dict[str, int]:
    """Count the rows of each table that lead to a user."""
    found = {}
    for table in Model.metadata.sorted_tables:
        owned = removal._owned(table, user_id)
        if owned is not None and (count := len(db.session().execute(select(table).where(owned)).all())):
            found[table.name] = count
    db.session.rollback()
    return found


def a_day_later() -> None:
    """Let the time for last emails and deliveries be over."""
    with transaction() as session:
        session.execute(update(User).where(User.removal.is_not(None)).values(closed_at=LONG_AGO))


def test_o15_a_suspended_host_cannot_sign_in_be_booked_or_use_a_key(
    app: Flask, rick: User, client: FlaskClient, rick_client: FlaskClient, quick_chat: object
) -> None:
    with transaction() as session:
        _key, plain = create_api_key(session, session.get_one(User, rick.id), "key", ["read"])
    flask(app, "suspend-user", "rick")
    assert rick_client.get("/event-types").status_code == 303
    assert [client.get(path).status_code for path in ("/rick", "/rick/quick-chat")] == [404, 404]
    assert client.get("/v2/me", headers={"Authorization": f"Bearer {plain}"}).status_code == 401
    answer = client.post("/login", data={"username": "rick", "password": PASSWORD})
    assert (answer.status_code, "This account is suspended." in answer.text) == (422, True)


def test_o15_a_suspension_is_taken_back(
    app: Flask, rick: User, client: FlaskClient, quick_chat: object
) -> None:
    flask(app, "suspend-user", "rick")
    flask(app, "suspend-user", "rick", "--undo")
    assert client.get("/rick/quick-chat").status_code == 200


def test_o15_a_suspension_switches_webhooks_off(app: Flask, webhook: Webhook) -> None:
    assert "1 webhooks were switched off" in flask(app, "suspend-user", "rick").output
    db.session.rollback()
    assert db.session.get_one(Webhook, webhook.id).off_reason == "suspended"


def test_o15_a_deleted_account_leaves_no_row_behind(
    app: Flask, rick: User, bob: User, story: Booking
) -> None:
    assert {"booking", "attendee", "event", "delivery", "attempt", "webhook"} <= set(rows_of(rick.id))
    rick_id, bob_id = rick.id, bob.id
    others = rows_of(bob_id)
    flask(app, "delete-user", "rick", "--yes")
    a_day_later()
    repeat(removal.remove_accounts, removal.STEP)
    assert rows_of(rick_id) == {}
    assert rows_of(bob_id) == others
    assert "ada.byron@example.com" not in dump(db.session())


def test_o15_upcoming_bookings_are_cancelled_and_what_they_cause_is_sent_first(
    app: Flask, rick: User, webhook: Webhook, book: Callable[..., Booking], session: Session
) -> None:
    booking = book()
    flask(app, "delete-user", "rick", "--yes")
    repeat(removal.remove_accounts, removal.STEP)
    assert session.get_one(Booking, booking.id, populate_existing=True).status == "cancelled"
    assert session.scalars(select(Event.trigger).order_by(Event.id)).all()[-1] == "BOOKING_CANCELLED"
    assert session.get(User, rick.id) is not None


def test_o15_bookings_are_kept_silently_when_the_host_wishes_so(
    app: Flask, rick: User, book: Callable[..., Booking], session: Session
) -> None:
    book()
    rick_id = rick.id
    write_emails()
    emails = len(session.scalars(select(Email.id)).all())
    flask(app, "delete-user", "rick", "--yes", "--keep-bookings")
    assert len(session.scalars(select(Email.id)).all()) == emails
    repeat(removal.remove_accounts, removal.STEP)
    session.rollback()
    assert session.get(User, rick_id) is None


def test_o15_a_host_deletes_the_account_with_the_password(rick: User, rick_client: FlaskClient) -> None:
    wrong = rick_client.post("/settings/delete", data={"password": "wrong", "bookings": "cancel"})
    assert (wrong.status_code, "The password is wrong." in wrong.text) == (422, True)
    gone = rick_client.post("/settings/delete", data={"password": PASSWORD, "bookings": "keep"})
    assert gone.status_code == 303
    assert rick_client.get("/event-types").status_code == 303
    db.session.rollback()
    assert db.session.get_one(User, rick.id).removal == Removal.KEEP


def test_a_deleted_account_is_not_reopened(app: Flask, rick: User) -> None:
    flask(app, "delete-user", "rick", "--yes")
    ended = app.test_cli_runner().invoke(args=["suspend-user", "rick", "--undo"])
    assert ended.exit_code == 1


def test_a_user_that_there_is_not_is_said_in_words(app: Flask) -> None:
    for command in ("suspend-user", "delete-user"):
        ended = app.test_cli_runner().invoke(args=[command, "nobody"])
        assert (ended.exit_code, ended.output) == (1, "Error: There is no user nobody.\n")
