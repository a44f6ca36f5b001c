"""Bookings as iCalendar (RFC 5545): one event each, the same UID for a whole chain of reschedules.

Texts are cleaned here once more: one old booking with a control character in its notes would make the whole
feed unreadable for strict readers.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from calapp.accounts.models import User
from calapp.bookings.models import Booking, Status
from calapp.bookings.payload import Facts
from calapp.text import clean, line

if TYPE_CHECKING:  # loaded where it is needed: a worker may have no email to write for days
    from icalendar import Calendar, Event, vCalAddress

# A parameter has no way to write a quotation mark that all readers know (RFC 6868 has one), and some take a
# backslash for the beginning of an escape, as in a property's text.
NOT_IN_PARAMETERS = str.maketrans({'"': "'", "\\": "/"})
UID_END = "@calapp"
OUTLOOK, OFFICE = "outlook.live.com", "outlook.office.com"
FEED_EVERY = timedelta(hours=1)  # how often a calendar should look at the feed
PRODUCT = "-//Calapp//Calapp//EN"
STATUSES = {
    Status.ACCEPTED: "CONFIRMED",
    Status.PENDING: "TENTATIVE",
    Status.CANCELLED: "CANCELLED",
    Status.REJECTED: "CANCELLED",
}


def invitation(
    booking: Booking | Facts, base_url: str, *, for_guest: bool = False, withdrawn: bool = False
) -> tuple[str, str]:
    """Return a booking's .ics text and its method: REQUEST, or CANCEL when it takes place no more.

    One `for_guest` has neither the visitor's notes nor a title with the visitor's name; one `withdrawn` takes
    the meeting out of the calendar of somebody who is invited no more.
    """
    active = booking.current_status in {Status.ACCEPTED, Status.PENDING} and not withdrawn
    method = "REQUEST" if active else "CANCEL"
    calendar = _calendar()
    calendar.add("method", method)
    event = _event(booking, base_url, for_guest=for_guest)
    if withdrawn:
        event["status"] = STATUSES[Status.CANCELLED]
    calendar.add_component(event)
    text: bytes = calendar.to_ical()
    return text.decode(), method


def copy_text(booking: Booking, base_url: str) -> str:
    """Return the .ics text of a booking as it is written to the host's own calendar.

    People are named in the description alone: a server would send attendees invitations of its own.
    """
    event = _event(booking, base_url)
    for name in ("organizer", "attendee"):
        del event[name]
    people = ", ".join(f"{line(person.name)} <{person.email}>" for person in booking.attendees)
    del event["description"]
    event.add("description", clean(f"With {people}\n{description(booking, base_url)}"))
    calendar = _calendar()
    calendar.add_component(event)
    text: bytes = calendar.to_ical()
    return text.decode()


def feed(host: User, bookings: Iterable[Booking], base_url: str) -> str:
    """Return a host's calendar feed."""
    calendar = _calendar()
    name = line(f"Bookings of {host.name}")
    calendar.add("x-wr-calname", name)
    calendar.add("name", name)  # RFC 7986
    calendar.add("refresh-interval", FEED_EVERY, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    for booking in bookings:
        calendar.add_component(_event(booking, base_url))
    text: bytes = calendar.to_ical()
    return text.decode()


def _calendar() -> "Calendar":
    from icalendar import Calendar  # noqa: PLC0415 (see above)

    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    return calendar


def _event(booking: Booking | Facts, base_url: str, *, for_guest: bool = False) -> "Event":
    from icalendar import Event  # noqa: PLC0415 (see above)

    event = Event()
    event.add("uid", f"{booking.chain}{UID_END}")
    event.add("sequence", booking.ical_sequence)
    event.add("dtstamp", booking.updated_at)
    event.add("created", booking.created_at)
    event.add("last-modified", booking.updated_at)
    event.add("dtstart", booking.starts_at)
    event.add("dtend", booking.ends_at)
    text = link_text(booking, base_url) if for_guest else description(booking, base_url)
    event.add("summary", line(booking.public_title if for_guest else booking.title))
    event.add("description", clean(text))
    event.add("status", STATUSES[booking.current_status])
    if booking.location:
        event.add("location", line(booking.public_location if for_guest else booking.location))
    event.add("organizer", _person(booking.host.email, booking.host.name))
    for person in booking.attendees:
        attendee = _person(person.email, person.name)
        attendee.params |= {"ROLE": "REQ-PARTICIPANT" if person.position == 0 else "OPT-PARTICIPANT"}
        attendee.params |= {"PARTSTAT": "ACCEPTED" if person.position == 0 else "NEEDS-ACTION"}
        attendee.params |= {"RSVP": "FALSE" if person.position == 0 else "TRUE"}
        event.add("attendee", attendee)
    return event


def _person(email: str, name: str) -> "vCalAddress":
    from icalendar import vCalAddress, vText  # noqa: PLC0415 (see above)

    address = vCalAddress(f"mailto:{line(email)}")
    address.params["CN"] = vText(line(name).translate(NOT_IN_PARAMETERS))
    return address


def link_text(booking: Booking | Facts, base_url: str) -> str:
    """Return the line that says where a booking can be moved or cancelled."""
    return f"Reschedule or cancel: {base_url}/booking/{booking.uid}"


def description(booking: Booking | Facts, base_url: str) -> str:
    """Return what a calendar shows of a booking: the notes, and where it can be moved or cancelled."""
    link = link_text(booking, base_url)
    return f"{booking.notes}\n\n{link}" if booking.notes else link


def google_link(booking: Booking, base_url: str) -> str:
    """Return the address that puts a booking into Google Calendar."""
    query = {
        "action": "TEMPLATE",
        "text": booking.title,
        "dates": f"{_compact(booking.starts_at)}/{_compact(booking.ends_at)}",
        "details": description(booking, base_url),
        "location": booking.location,
    }
    return "https://calendar.google.com/calendar/render?" + urlencode(query)


def outlook_link(booking: Booking, base_url: str, host: str = OUTLOOK) -> str:
    """Return the address that puts a booking into Outlook on the web; it reads neither +00:00 nor +."""
    query = {
        "path": "/calendar/action/compose",
        "rru": "addevent",
        "subject": booking.title,
        "startdt": f"{booking.starts_at:%Y-%m-%dT%H:%M:%SZ}",
        "enddt": f"{booking.ends_at:%Y-%m-%dT%H:%M:%SZ}",
        "body": description(booking, base_url),
        "location": booking.location,
    }
    return f"https://{host}/calendar/0/deeplink/compose?" + urlencode(query, quote_via=quote)


def _compact(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")
