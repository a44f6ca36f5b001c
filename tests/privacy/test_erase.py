"""Erasing a visitor: afterwards there is nothing of the person to be found in any row."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp import config
from calapp.accounts.models import User
from calapp.bookings import service
from calapp.bookings.models import Booking, Status
from calapp.db import transaction
from calapp.deliveries.models import Attempt, Delivery, Event, State
from calapp.event_types.models import EventType
from calapp.maintenance import repeat
from calapp.privacy import service as privacy
from tests.conftest import on_both_databases
from tests.privacy.traces import ADA, TRACES, dump, flask, request, traces

pytestmark = on_both_databases


def test_the_story_leaves_every_trace(app: Flask, session: Session, story: Booking) -> None:
    assert traces(session) == list(TRACES)


def test_an_erased_visitor_is_nowhere_to_be_found(app: Flask, session: Session, story: Booking) -> None:
    flask(app, "erase-visitor", ADA.swapcase())
    # The friend's booking keeps its own answers; of Ada there is nothing.
    friends = {"secret-notes", "answer-of", "london", "ada", "4711-metadata"}
    assert set(traces(session)) <= friends
    assert ADA.lower() not in dump(session)
    assert "byron" not in dump(session)


def test_what_is_left_of_her_bookings_is_time_and_status(
    app: Flask, session: Session, story: Booking
) -> None:
    flask(app, "erase-visitor", ADA)
    session.rollback()
    hers = session.scalars(select(Booking).where(Booking.chain == story.chain).order_by(Booking.id)).all()
    assert [one.status for one in hers] == [Status.CANCELLED, Status.CANCELLED]
    assert {one.starts_at.hour for one in hers} == {10, 12}
    assert {(one.title, one.notes, one.visitor.name) for one in hers} == {("Quick chat", "", "Erased")}
    assert not any(word in one.search for word in (ADA.lower(), "byron") for one in hers)


def test_nothing_of_her_is_sent_any_more(app: Flask, session: Session, story: Booking) -> None:
    flask(app, "erase-visitor", ADA)
    session.rollback()
    states = session.execute(select(Delivery.state, Event.body).join(Event)).all()
    assert {tuple(row) for row in states} == {(State.EXPIRED, None)}


def test_a_dry_run_says_it_and_changes_nothing(app: Flask, session: Session, story: Booking) -> None:
    before = dump(session)
    said = flask(app, "erase-visitor", ADA, "--dry-run").output
    assert said.startswith(f"Would erase {ADA}: attempts 4, bookings 3")
    assert dump(session) == before


def test_the_dry_run_says_what_the_run_does(app: Flask, story: Booking) -> None:
    would = flask(app, "erase-visitor", ADA, "--dry-run").output
    assert flask(app, "erase-visitor", ADA).output == would.replace("Would erase", "Erased")


def test_another_visitor_stays(app: Flask, session: Session, story: Booking, quick_chat: EventType) -> None:
    other = {"name": "Alan", "email": "alan@example.com", "guests": (), "notes": "about machines"}
    with transaction():
        service.book(session, quick_chat, request(15, **other))
    flask(app, "erase-visitor", ADA)
    for word in ("alan@example.com", "about machines"):
        assert word in dump(session)


def test_a_guest_is_erased_and_the_visitor_stays(app: Flask, session: Session, story: Booking) -> None:
    flask(app, "erase-visitor", "Grace@Example.com")
    found = dump(session)
    assert "grace@example.com" not in found
    assert ADA.lower() in found


def test_nobody_known_leaves_all_as_it_is(app: Flask, session: Session, story: Booking) -> None:
    before = dump(session)
    assert (
        flask(app, "erase-visitor", "da.Byron@example.com").output
        == "Nothing found for da.Byron@example.com.\n"
    )
    assert dump(session) == before


def test_letters_of_an_address_are_no_pattern(app: Flask, session: Session, story: Booking) -> None:
    before = dump(session)
    for pattern in ("%@example.com", "ada_byron@example.com", "n@example.com"):
        flask(app, "erase-visitor", pattern)
    assert dump(session) == before


def test_a_host_who_was_a_visitor_keeps_the_account_and_its_events(
    app: Flask, session: Session, story: Booking, rick: User
) -> None:
    said = flask(app, "erase-visitor", rick.email).output
    assert "A host has this address" in said
    session.rollback()
    assert session.get_one(User, rick.id).email == "rick@example.com"
    assert session.scalar(select(Event.body).limit(1)) is not None


def test_an_address_with_letters_beyond_ascii_is_found_in_either_case(
    app: Flask, session: Session, quick_chat: EventType
) -> None:
    with transaction():
        service.book(session, quick_chat, request(10, email="Änne@exämple.com", answers={}))
    flask(app, "erase-visitor", "änne@EXÄMPLE.com")
    assert "exämple" not in dump(session)


def test_the_settings_forget_visitors_of_bookings_long_over(
    app: Flask, session: Session, story: Booking
) -> None:
    with transaction():
        session.execute(update(Booking).values(ends_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert repeat(privacy.forget_old, privacy.STEP) == 3
    assert traces(session) == []
    assert repeat(privacy.forget_old, privacy.STEP) == 0


def test_more_old_bookings_than_a_step_are_forgotten_in_steps(
    app: Flask, session: Session, story: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "STEP", 1)
    with transaction():
        session.execute(update(Booking).values(ends_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "visitors of bookings 3" in flask(app, "prune", "--dry-run").output
    assert repeat(privacy.forget_old, 1) == 3


def test_bookings_within_the_time_are_kept(app: Flask, session: Session, story: Booking) -> None:
    before = dump(session)
    assert repeat(privacy.forget_old, privacy.STEP) == 0
    assert dump(session) == before


def test_without_the_setting_nobody_is_forgotten(app: Flask, session: Session, story: Booking) -> None:
    config.use(replace(config.settings(), booking_retention_days=0))
    with transaction():
        session.execute(update(Booking).values(ends_at=datetime(2006, 11, 1, tzinfo=UTC)))
    assert repeat(privacy.forget_old, privacy.STEP) == 0


def test_pruning_says_first_what_it_would_remove(app: Flask, session: Session, story: Booking) -> None:
    with transaction():
        session.execute(update(Attempt).values(at=datetime(2020, 1, 1, tzinfo=UTC)))
        session.execute(update(Delivery).values(state=State.DELIVERED))  # of what waits, tries are kept
    assert flask(app, "prune", "--dry-run").output.startswith("Would remove attempts 4, bodies 0")
    assert flask(app, "prune").output.startswith("Removed attempts 4, bodies 0")
    assert flask(app, "prune").output.startswith("Removed attempts 0, bodies 0")
