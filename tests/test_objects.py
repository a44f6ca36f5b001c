"""Objects that are read and written as plain rows are those that the ORM reads and writes."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.pq import TransactionStatus
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from calapp import db as database
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.bookings.models import Booking, find
from calapp.db import db, read_alone, transaction
from calapp.errors import NotFound
from calapp.event_types.models import EventType
from calapp.event_types.service import find_public, lock_host_of
from calapp.objects import insert
from tests.conftest import on_both_databases

FORM = {"start": "2027-01-05T10:00:00Z", "name": "Ada Byron", "email": "ada@example.com"}


def columns(found: object) -> dict[str, object]:
    """What an object has in each of its columns."""
    return {one.key: getattr(found, one.key) for one in inspect(type(found)).column_attrs}


@on_both_databases
def test_what_is_read_by_rows_is_what_the_orm_reads(
    session: Session, rick: User, quick_chat: EventType
) -> None:
    number = quick_chat.id
    session.expunge_all()
    read = find_public(session, "rick", "quick-chat")
    by_rows = columns(read), columns(read.user)
    session.expunge_all()
    event_type = session.get(EventType, number)
    assert by_rows == (columns(event_type), columns(event_type.user))
    assert find_public(session, "rick", "nothing") is None


@on_both_databases
def test_a_locked_row_is_read_anew_into_the_object_that_is_there(
    app: Flask, rick: User, quick_chat: EventType, change
) -> None:
    read = find_public(db.session(), "rick", "quick-chat")
    change(quick_chat, title="Long talk")
    with transaction() as session:
        host = lock_host_of(session, read)
        assert (read.title, read.user) == ("Long talk", host)
        assert lock_user(session, host.id) is host
        host.name = "Richard"
    assert db.session().get(User, rick.id).name == "Richard"
    with transaction() as session, pytest.raises(NotFound):
        lock_user(session, 1000)


@on_both_databases
def test_what_is_written_by_rows_has_its_id_and_defaults_and_can_be_changed(app: Flask, rick: User) -> None:
    made = EventType(user_id=rick.id, title="Intro", slug="intro", length=15, reminders=[60])
    with transaction() as session:
        insert(session, made)
        session.add(made)
        made.title = "Introduction"
    again = db.session().get(EventType, made.id, populate_existing=True)
    assert (again.title, again.notice, again.reminders, again.questions) == ("Introduction", 120, [60], [])
    assert again.created_at.tzinfo is not None


@on_both_databases
def test_a_booking_is_written_with_whoever_takes_part(client: FlaskClient, quick_chat: EventType) -> None:
    form = FORM | {"time_zone": "Asia/Tokyo", "guests": "bob@example.com, eve@example.com"}
    uid = client.post("/rick/quick-chat", data=form).location.split("/")[-1].split("?")[0]
    booking: Booking = find(db.session(), uid)
    people = [(one.position, one.email) for one in booking.attendees]
    assert people == [(0, "ada@example.com"), (1, "bob@example.com"), (2, "eve@example.com")]
    assert (booking.sequence, booking.event_type_id, booking.host_id) == (
        1,
        quick_chat.id,
        quick_chat.user_id,
    )


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_read_by_itself_begins_no_transaction_and_a_change_after_it_does(app: Flask, rick: User) -> None:
    session = db.session()
    session.rollback()
    read_alone(session)
    driver = session.connection().connection.dbapi_connection
    session.get(User, rick.id)
    assert (driver.autocommit, driver.info.transaction_status) == (True, TransactionStatus.IDLE)

    def change_and_fail() -> None:
        with transaction() as writing:
            writing.get(User, rick.id).name = "Nobody"
            writing.flush()
            driver = writing.connection().connection.dbapi_connection
            assert (driver.autocommit, driver.info.transaction_status) == (False, TransactionStatus.INTRANS)
            raise NotFound

    with pytest.raises(NotFound):
        change_and_fail()
    assert db.session().get(User, rick.id).name != "Nobody"


@pytest.mark.parametrize("asked_after", [0, 60])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_no_visitor_sees_that_a_connection_broke_while_nobody_used_it(
    client: FlaskClient, quick_chat: EventType, monkeypatch: pytest.MonkeyPatch, asked_after: int
) -> None:
    monkeypatch.setattr(database, "ASKED_AFTER", asked_after)
    assert client.get("/rick/quick-chat").status_code == 200
    db.session.remove()
    with db.engine.connect() as one, db.engine.connect() as other:
        (pid,) = one.exec_driver_sql("SELECT pg_backend_pid()").one()
        one.close()
        assert other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})").scalar()
        other.exec_driver_sql("SELECT pg_sleep(0.2)")  # it ends
        for _ in range(3):
            assert client.get("/rick/quick-chat").status_code == 200
