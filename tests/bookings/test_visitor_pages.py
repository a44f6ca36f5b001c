"""A booking's own pages, for whoever has the link."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from flask.testing import FlaskClient
from icalendar import Calendar

from calapp.bookings import service
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import find
from calapp.clock import iso_seconds
from calapp.db import transaction
from tests.bookings.conftest import TUESDAY_TEN

NOON = TUESDAY_TEN + timedelta(hours=2)
LINK = re.compile(r'href="(https://[^"]+)"')


def text_of(client: FlaskClient, path: str, **form: str) -> str:
    answer = (
        client.post(path, data=form, follow_redirects=True)
        if form
        else client.get(path, follow_redirects=True)
    )
    return answer.text


def move(client: FlaskClient, uid: str, **more: str) -> str:
    """Move a booking to noon; return the path of the new one."""
    form = {"start": iso_seconds(NOON), "reason": "Train is late", **more}
    answer = client.post(f"/booking/{uid}/reschedule", data=form)
    assert answer.status_code == 303
    return answer.location


def event_of(client: FlaskClient, path: str):
    calendar = Calendar.from_ical(client.get(f"{path}.ics").data)
    return calendar, next(one for one in calendar.walk("VEVENT"))


def test_looking_changes_nothing(client: FlaskClient, book, triggers) -> None:
    path = f"/booking/{book().uid}"
    for page in ("", "/cancel", "/reschedule", ".ics"):
        assert client.get(f"{path}{page}").status_code == 200
        assert client.head(f"{path}{page}").status_code == 200
    assert triggers() == ["BOOKING_CREATED"]


def test_a_scheduled_meeting_offers_calendars_and_changes(client: FlaskClient, book) -> None:
    uid = book(notes="Bring <cake>").uid
    page = text_of(client, f"/booking/{uid}")
    assert "This meeting is scheduled" in page
    assert "Bring &lt;cake&gt;" in page
    for rest in (".ics", "/reschedule", "/cancel"):
        assert f'href="/booking/{uid}{rest}"' in page


def test_google_and_outlook_get_the_same_times(client: FlaskClient, book) -> None:
    page = text_of(client, f"/booking/{book().uid}").replace("&amp;", "&")
    google, outlook = (parse_qs(urlsplit(link).query) for link in LINK.findall(page))
    assert google["dates"] == ["20270105T100000Z/20270105T101500Z"]
    assert outlook["startdt"] == ["2027-01-05T10:00:00Z"]
    assert google["text"] == outlook["subject"] == ["Quick chat between Rick and Ada Byron"]


def test_the_calendar_file_names_everybody(client: FlaskClient, book) -> None:
    booking = book(guests=("eve@example.com",))
    calendar, event = event_of(client, f"/booking/{booking.uid}")
    assert calendar["METHOD"] == "REQUEST"
    assert str(event["ORGANIZER"]) == "mailto:rick@example.com"
    assert [str(one) for one in event["ATTENDEE"]] == ["mailto:ada@example.com", "mailto:eve@example.com"]
    assert event.decoded("DTSTART") == TUESDAY_TEN
    visitor, guest = (one.params for one in event["ATTENDEE"])
    assert (visitor["PARTSTAT"], visitor["ROLE"], visitor["RSVP"]) == ("ACCEPTED", "REQ-PARTICIPANT", "FALSE")
    assert (guest["PARTSTAT"], guest["ROLE"], guest["RSVP"]) == ("NEEDS-ACTION", "OPT-PARTICIPANT", "TRUE")
    assert event.decoded("LAST-MODIFIED") == booking.updated_at


def test_the_calendar_file_is_not_sent_again_while_it_is_the_same(client: FlaskClient, book) -> None:
    path = f"/booking/{book().uid}"
    first = client.get(f"{path}.ics")
    for name, value in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        assert client.get(f"{path}.ics", headers={name: first.headers[value]}).status_code == 304


def test_a_chain_keeps_its_calendar_uid_and_counts_up(client: FlaskClient, book) -> None:
    booking = book()
    _, first = event_of(client, f"/booking/{booking.uid}")
    path = move(client, booking.uid)
    _, second = event_of(client, path)
    text_of(client, f"{path}/cancel", reason="Ill")
    calendar, third = event_of(client, path)
    assert {str(one["UID"]) for one in (first, second, third)} == {f"{booking.uid}@calapp"}
    assert [one["SEQUENCE"] for one in (first, second, third)] == [0, 1, 2]
    assert (calendar["METHOD"], third["STATUS"]) == ("CANCEL", "CANCELLED")


def test_old_links_lead_to_the_newest_booking(client: FlaskClient, book) -> None:
    old = book().uid
    path = move(client, old)
    for page in ("", "/cancel", "/reschedule"):
        answer = client.get(f"/booking/{old}{page}")
        assert answer.status_code == 302
        assert answer.location.rstrip("?") == f"{path}{page}"
    assert "12:00" in text_of(client, f"/booking/{old}")
    assert b"DTSTART:20270105T120000Z" in client.get(f"/booking/{old}.ics").data


def test_an_old_reschedule_link_keeps_its_query(client: FlaskClient, book) -> None:
    old = book().uid
    path = move(client, old)
    answer = client.get(f"/booking/{old}/reschedule?metadata[campaign]=spring&tz=Asia/Tokyo")
    assert unquote(answer.location) == f"{path}/reschedule?metadata[campaign]=spring&tz=Asia/Tokyo"


def test_a_moved_meeting_shows_both_times(client: FlaskClient, book) -> None:
    page = text_of(client, move(client, book().uid))
    assert "12:00 – 12:15" in page
    assert "moved from <s>Tuesday, 5 January 2027, 10:00 – 10:15" in page


def test_moving_starts_in_the_visitors_own_zone(client: FlaskClient, book) -> None:
    page = text_of(client, f"/booking/{book(time_zone='Asia/Tokyo').uid}/reschedule?date=2027-01-05")
    assert '<option value="Asia/Tokyo" selected>' in page
    assert "Rescheduling the meeting on Tuesday, 5 January 2027, 19:00" in page


def test_a_visitor_who_has_travelled_sees_the_zone_where_they_are(client: FlaskClient, book) -> None:
    path = move(client, book().uid, time_zone="America/New_York")
    assert "07:00 – 07:15 (America/New_York)" in text_of(client, path)


def test_a_host_who_moves_leaves_the_visitor_their_zone(rick_client: FlaskClient, client, book) -> None:
    path = move(rick_client, book().uid, time_zone="Europe/Berlin")
    assert path.startswith("/bookings/")
    uid = path.rpartition("/")[2]
    assert "12:00 – 12:15 (Europe/London)" in text_of(client, f"/booking/{uid}")


def test_a_time_that_is_taken_meanwhile_keeps_the_reason(client: FlaskClient, book) -> None:
    booking = book()
    book(NOON)
    form = {"start": iso_seconds(NOON), "reason": "Train & strike"}
    answer = client.post(f"/booking/{booking.uid}/reschedule", data=form)
    assert answer.status_code == 409
    assert 'name="reason" value="Train &amp; strike"' in answer.text


def test_a_move_of_what_was_cancelled_meanwhile_says_so(client: FlaskClient, book) -> None:
    booking = book()
    text_of(client, f"/booking/{booking.uid}/cancel", reason="Ill")
    answer = client.post(f"/booking/{booking.uid}/reschedule", data={"start": iso_seconds(NOON)})
    assert answer.status_code == 409
    assert "This booking is already cancelled." in answer.text


def test_a_cancelled_meeting_says_so_and_offers_other_times(client: FlaskClient, book) -> None:
    path = f"/booking/{book().uid}"
    page = text_of(client, f"{path}/cancel", reason="Ill <really>")
    assert "This meeting is cancelled" in page
    assert "Ill &lt;really&gt;" in page
    assert 'href="/rick/quick-chat"' in page
    assert f'href="{path}/reschedule"' not in page


def test_a_second_cancellation_finds_it_cancelled(client: FlaskClient, book, triggers) -> None:
    path = f"/booking/{book().uid}/cancel"
    pages = [text_of(client, path, reason="Ill") for _ in range(2)]
    assert all("This meeting is cancelled" in page for page in pages)
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_a_meeting_that_is_over_cannot_be_cancelled(client: FlaskClient, book, monday) -> None:
    path = f"/booking/{book().uid}/cancel"
    monday.move_to(NOON)
    answer = client.post(path)
    assert answer.status_code == 409
    assert "This meeting cannot be cancelled" in client.get(path).text


def test_a_meeting_that_has_begun_cannot_be_moved(client: FlaskClient, book, monday) -> None:
    path = f"/booking/{book().uid}"
    monday.move_to(TUESDAY_TEN)
    assert client.get(f"{path}/reschedule").location == path
    assert client.post(f"{path}/reschedule", data={"start": iso_seconds(NOON)}).status_code == 409


def test_a_booking_that_waits_for_the_host_says_so(client, book, quick_chat, change) -> None:
    change(quick_chat, requires_confirmation=True)
    page = text_of(client, f"/booking/{book().uid}")
    assert "Waiting for confirmation" in page
    assert "Rick has to confirm this meeting" in page


@pytest.mark.parametrize(
    ("moved", "words"),
    [(False, "The time you requested does not work."), (True, "previous time was released")],
)
def test_a_rejected_booking_offers_other_times(
    client, book, quick_chat, change, moved: bool, words: str
) -> None:
    change(quick_chat, requires_confirmation=True)
    booking = book()
    path = move(client, booking.uid) if moved else f"/booking/{booking.uid}"
    with transaction() as session:
        newest = service.newest(session, find(session, booking.uid))
        service.reject(session, newest, "On holiday")
    page = text_of(client, path)
    assert "Rick cannot make it" in page
    assert words in page
    assert 'href="/rick/quick-chat"' in page


@pytest.mark.parametrize("recorded", [False, True])
def test_v8_a_visitor_who_got_no_answer_in_time_is_offered_times(
    client, book, quick_chat, change, monday, recorded: bool
) -> None:
    change(quick_chat, requires_confirmation=True)
    path = f"/booking/{book().uid}"
    monday.move_to(TUESDAY_TEN)
    if recorded:
        record_meetings()
    page = text_of(client, path)
    assert "Rick did not respond in time" in page
    assert "held for you" not in page
    assert 'href="/rick/quick-chat"' in page
    assert not any(f"{path}{rest}" in page for rest in ("/cancel", "/reschedule"))
    assert "METHOD:CANCEL" in client.get(f"{path}.ics").text
    assert "The host did not respond in time." in client.get(f"{path}/cancel").text
    assert client.post(f"{path}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "This meeting has started"), (15, "This meeting is over")]
)
def test_v8_a_meeting_that_has_begun_or_is_over_says_so(client, book, monday, minutes: int, words) -> None:
    path = f"/booking/{book().uid}"
    monday.move_to(TUESDAY_TEN + timedelta(minutes=minutes))
    page = text_of(client, path)
    assert words in page
    assert "This meeting is scheduled" not in page
    assert f'href="{path}/reschedule"' not in page
    assert (f'href="{path}/cancel"' in page) == (minutes == 0)


def test_a_deleted_event_type_is_not_offered_again(client, book, quick_chat, change) -> None:
    path = f"/booking/{book().uid}"
    change(quick_chat, deleted_at=TUESDAY_TEN)
    assert 'href="/rick/quick-chat"' not in text_of(client, f"{path}/cancel", reason="Ill")


def test_a_reschedule_link_adds_metadata(client, book, session) -> None:
    old = book().uid
    path = f"/booking/{old}/reschedule?metadata[user_id]=666&metadata[campaign]=spring"
    answer = client.post(path, data={"start": iso_seconds(NOON)})
    moved = find(session, answer.location.rpartition("/")[2])
    assert moved.link_metadata == {"user_id": "123", "campaign": "spring"}


def test_the_time_that_is_booked_is_not_offered_for_a_move(client: FlaskClient, book) -> None:
    path = f"/booking/{book().uid}/reschedule"
    page = client.get(f"{path}?date=2027-01-05&tz=UTC").text
    assert 'name="slot" value="2027-01-05T10:15:00Z"' in page
    assert 'name="slot" value="2027-01-05T10:00:00Z"' not in page
    assert 'name="start"' not in client.get(f"{path}?slot=2027-01-05T10:00:00Z").text
