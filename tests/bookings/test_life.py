"""A booking's life: confirm, reject, cancel, reschedule, no-show, start and end, each told once."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from calapp.bookings import changes, maintenance, service
from calapp.bookings.emails import write_emails
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.metadata import Metadata
from calapp.bookings.models import BusySlot, Status
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.errors import Conflict, Invalid, SlotTaken
from calapp.mail import Email
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.conftest import on_both_databases

pytestmark = on_both_databases

NOON = datetime(2027, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def asking(quick_chat, change):
    """Rick's quick chat, which waits for confirmation."""
    change(quick_chat, requires_confirmation=True)
    return quick_chat


def act(function, *arguments, **more):
    with transaction() as session:
        return function(session, *arguments, **more)


def move(booking, start=NOON, **more):
    request = move_request(start, "Train is late")
    return act(service.reschedule, booking, request, **{"by": "ada@example.com", **more})


def last_payload(session) -> dict:
    session.rollback()
    body = session.scalars(select(Event.body).order_by(Event.number.desc())).first()
    return json.loads(body)["payload"]


def test_a_booking_that_needs_confirmation_is_requested(asking, book, triggers) -> None:
    assert book().status == Status.PENDING
    assert triggers() == ["BOOKING_REQUESTED"]


def test_confirming_creates_the_booking_under_its_uid(asking, book, triggers, session) -> None:
    booking = book()
    act(service.confirm, booking)
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_CREATED"]
    assert last_payload(session)["uid"] == booking.uid


def test_a_second_confirmation_tells_nothing_more(asking, book, triggers) -> None:
    booking = book()
    act(service.confirm, booking)
    with pytest.raises(Conflict):
        act(service.confirm, booking)
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_CREATED"]


def test_a_rejection_frees_the_time_and_says_why(asking, book, session) -> None:
    act(service.reject, book(), "On holiday")
    assert last_payload(session)["rejectionReason"] == "On holiday"
    assert session.scalar(select(BusySlot)) is None


def test_a_cancellation_carries_metadata_and_reason(book, triggers, session) -> None:
    act(service.cancel, book(), by="ada@example.com", reason="Ill")
    payload = last_payload(session)
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]
    assert payload["metadata"] == {"user_id": "123"}
    assert (payload["cancelledBy"], payload["cancellationReason"]) == ("ada@example.com", "Ill")


def test_a_cancelled_time_can_be_booked_again(book) -> None:
    act(service.cancel, book(), by="ada@example.com", reason="")
    assert book().status == Status.ACCEPTED


def test_a_second_cancellation_tells_nothing_more(book, triggers) -> None:
    booking = book()
    act(service.cancel, booking, by="ada@example.com", reason="")
    with pytest.raises(Conflict):
        act(service.cancel, booking, by="ada@example.com", reason="")
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_a_moved_booking_is_told_alone_with_both_times(book, triggers, session) -> None:
    booking = book()
    moved = move(booking)
    payload = last_payload(session)
    assert triggers() == ["BOOKING_CREATED", "BOOKING_RESCHEDULED"]
    assert (payload["uid"], payload["rescheduleUid"]) == (moved.uid, booking.uid)
    assert (payload["startTime"], payload["rescheduleStartTime"]) == (
        "2027-01-05T12:00:00Z",
        "2027-01-05T10:00:00Z",
    )
    assert (payload["originalUid"], payload["sequence"]) == (booking.uid, 2)


def test_a_reschedule_link_adds_metadata_but_changes_none(book) -> None:
    moved = move(book(), metadata=Metadata({"user_id": "666", "campaign": "spring"}))
    assert moved.link_metadata == {"user_id": "123", "campaign": "spring"}


def test_a_moved_booking_may_overlap_its_former_time(book, quick_chat, change) -> None:
    change(quick_chat, step=5)
    assert move(book(), TUESDAY_TEN + timedelta(minutes=5)).starts_at == TUESDAY_TEN + timedelta(minutes=5)


def test_a_move_to_a_taken_time_changes_nothing(book, triggers, session) -> None:
    booking = book()
    book(NOON)
    with pytest.raises(SlotTaken):
        move(booking)
    session.refresh(booking)
    assert (booking.status, booking.rescheduled_to_uid) == (Status.ACCEPTED, None)
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CREATED"]


def test_a_move_to_the_same_time_is_refused(book) -> None:
    booking = book()
    with pytest.raises(Invalid):
        move(booking, TUESDAY_TEN)


def test_a_meeting_that_has_begun_cannot_be_moved(book, monday) -> None:
    booking = book()
    monday.move_to(TUESDAY_TEN)
    with pytest.raises(Conflict):
        move(booking)


def test_a_visitor_who_moves_asks_again_for_confirmation(asking, book, triggers, session) -> None:
    booking = book()
    act(service.confirm, booking)
    moved = move(booking)
    act(service.confirm, moved)
    assert triggers()[2:] == ["BOOKING_REQUESTED", "BOOKING_RESCHEDULED"]
    assert last_payload(session)["rescheduleUid"] == booking.uid


def test_a_host_who_moves_asks_nobody(asking, book, triggers) -> None:
    moved = move(book(), by_host=True)
    assert moved.status == Status.ACCEPTED
    assert triggers()[1:] == ["BOOKING_RESCHEDULED"]


def test_a_rejected_move_brings_the_old_time_not_back(asking, book, session) -> None:
    booking = book()
    act(service.reject, move(booking), "No")
    payload = last_payload(session)
    assert payload["rescheduleUid"] == booking.uid
    assert session.scalar(select(BusySlot)) is None


def test_a_no_show_is_told_once_and_can_be_taken_back(book, triggers, session, monday) -> None:
    booking = book()
    monday.move_to(NOON)
    for absent in (True, True, False):
        act(changes.mark_no_show, booking, "ADA@example.com", absent=absent)
    assert triggers() == ["BOOKING_CREATED", "BOOKING_NO_SHOW_UPDATED", "BOOKING_NO_SHOW_UPDATED"]
    assert last_payload(session)["attendees"][0]["noShow"] is False


def test_start_and_end_are_told_once_each(book, triggers, monday) -> None:
    book()
    monday.move_to(TUESDAY_TEN)
    record_meetings()
    record_meetings()
    assert triggers() == ["BOOKING_CREATED", "MEETING_STARTED"]
    monday.shift(15 * 60)
    record_meetings()
    record_meetings()
    assert triggers() == ["BOOKING_CREATED", "MEETING_STARTED", "MEETING_ENDED"]


def test_v8_a_request_nobody_answers_is_rejected_by_the_clock_once(
    asking, book, triggers, session, monday
) -> None:
    booking = book(guests=("eve@example.com",))
    monday.move_to(TUESDAY_TEN - timedelta(seconds=1))
    record_meetings()
    assert triggers() == ["BOOKING_REQUESTED"]
    monday.move_to(TUESDAY_TEN)
    record_meetings()
    record_meetings()
    payload = last_payload(session)
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_REJECTED"]
    assert (payload["status"], payload["rejectionReason"]) == ("REJECTED", "Not answered in time.")
    assert session.scalar(select(BusySlot)) is None
    assert booking.status == Status.REJECTED
    write_emails()
    told = session.scalars(select(Email).where(Email.subject.startswith("Not confirmed in time:"))).all()
    assert {mail.recipient for mail in told} == {"ada@example.com", "eve@example.com", "rick@example.com"}
    assert {mail.calendar_method for mail in told} == {"CANCEL"}


def test_v8_an_unanswered_move_carries_the_fields_of_the_move(asking, book, session, monday) -> None:
    booking = book()
    moved = move(booking)
    monday.move_to(NOON)
    record_meetings()
    payload = last_payload(session)
    assert (payload["uid"], payload["rescheduleUid"]) == (moved.uid, booking.uid)
    assert (payload["rescheduledBy"], payload["reschedulingReason"]) == ("ada@example.com", "Train is late")


@pytest.mark.parametrize(
    "late",
    [
        lambda booking: act(service.confirm, booking),
        lambda booking: act(service.reject, booking, "No"),
        lambda booking: act(service.cancel, booking, by="ada@example.com", reason=""),
        lambda booking: move(booking, NOON + timedelta(hours=1)),
    ],
)
def test_v8_nothing_can_be_done_to_a_request_after_its_start(asking, book, triggers, monday, late) -> None:
    booking = book()
    monday.move_to(TUESDAY_TEN)
    with pytest.raises(Conflict, match="not confirmed in time"):
        late(booking)
    record_meetings()
    with pytest.raises(Conflict, match="not confirmed in time"):
        late(booking)
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_REJECTED"]


def test_v8_requests_of_long_ago_are_closed_without_writing_to_people(asking, book, session, monday) -> None:
    book()
    write_emails()
    before = len(session.scalars(select(Email)).all())
    monday.move_to(TUESDAY_TEN + timedelta(days=8))
    record_meetings()
    write_emails()
    session.rollback()
    assert len(session.scalars(select(Email)).all()) == before


def test_a_cancelled_meeting_neither_starts_nor_ends(book, triggers, monday) -> None:
    act(service.cancel, book(), by="ada@example.com", reason="")
    monday.move_to(NOON)
    record_meetings()
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_every_event_has_the_same_fields(asking, book, session, monday) -> None:
    booking = book()
    act(service.confirm, booking)
    moved = move(booking, by_host=True)
    monday.move_to(NOON)
    record_meetings()
    act(changes.mark_no_show, moved, "ada@example.com", absent=True)
    bodies = session.scalars(select(Event.body).order_by(Event.number)).all()
    payloads = [json.loads(body)["payload"] for body in bodies]
    assert len(payloads) == 5
    assert all(set(payloads[0]) <= set(payload) for payload in payloads)
    assert [payload["sequence"] for payload in payloads] == [1, 2, 3, 4, 5]
    assert {payload["originalUid"] for payload in payloads} == {booking.uid}


def test_one_cell_cannot_belong_to_two_bookings(book) -> None:
    booking = book()
    with pytest.raises(IntegrityError), transaction() as session:
        session.add(BusySlot(host_id=booking.host_id, at=TUESDAY_TEN, booking_id=booking.id))


def test_numbers_of_a_hosts_events_have_no_gaps(book, session) -> None:
    for quarter in range(4):
        book(TUESDAY_TEN + timedelta(minutes=15 * quarter))
    assert session.scalars(select(Event.number).order_by(Event.id)).all() == [1, 2, 3, 4]


def test_the_last_place_of_a_day_goes_once(book, quick_chat, change) -> None:
    change(quick_chat, max_per_day=1)
    book()
    with pytest.raises(SlotTaken):
        book(NOON)


def test_a_booking_that_cannot_be_told_holds_no_other_up(book, triggers, monday, monkeypatch) -> None:
    first, _ = book(), book(TUESDAY_TEN + timedelta(minutes=15))
    tell = maintenance.record_meeting

    def failing(session, booking_id: int) -> None:
        if booking_id == first.id:
            raise KeyError("Atlantis")
        tell(session, booking_id)

    monkeypatch.setattr(maintenance, "record_meeting", failing)
    monday.move_to(NOON)
    with pytest.raises(KeyError):
        record_meetings()
    assert triggers() == ["BOOKING_CREATED"] * 2 + ["MEETING_STARTED", "MEETING_ENDED"]
