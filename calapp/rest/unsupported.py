"""What Cal.com's API knows and this one does not do: refused by name, never accepted and dropped.

A schema names such fields in its `unsupported`, each with the values that ask for what happens anyway. A path
leads into objects by dots and into lists by `[]`: `bookingFields[].placeholder`. The tables, by the names on
the wire, are all here, so that one file says what Calapp leaves out.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from calapp.errors import NotSupported

Table = Mapping[str, tuple[Any, ...]]

NOTHING: tuple[Any, ...] = (False, 0, "", [], {}, {"disabled": True})  # that ask for nothing
NOTHING_TYPED: tuple[str, ...] = ("", "false", "0")  # the same in a query
NOT_SUPPORTED = "Not supported by this server. Please leave it out."


def refuse_unsupported(model: type[BaseModel], table: Table, given: Mapping[str, Any]) -> None:
    """Raise NotSupported whose details name each field of the table that asks for something.

    A null asks for nothing, and a field that the schema has by now is the schema's to check.
    """
    problems = {
        place: NOT_SUPPORTED
        for path, harmless in table.items()
        if not _has(model, path.replace("[]", "").split("."))
        for place, value in _values(given, path.split("."), "")
        if value is not None and value not in harmless
    }
    if problems:
        raise NotSupported(" ".join(f"{place}: {words}" for place, words in problems.items()), **problems)


def _values(tree: Any, path: list[str], place: str) -> Iterator[tuple[str, Any]]:
    """Return what is at a path, each with its place (`bookingFields.2.placeholder`)."""
    if not path:
        yield place, tree
        return
    name, rest = path[0].removesuffix("[]"), path[1:]
    if not isinstance(tree, Mapping) or name not in tree:
        return
    here = f"{place}.{name}" if place else name
    if not path[0].endswith("[]"):
        yield from _values(tree[name], rest, here)
    elif isinstance(tree[name], list):
        for number, one in enumerate(tree[name]):
            yield from _values(one, rest, f"{here}.{number}")


def _has(model: type[BaseModel], path: list[str]) -> bool:
    """Return whether a schema has a field at a path of names on the wire."""
    found = next((one for name, one in model.model_fields.items() if path[0] in (one.alias, name)), None)
    if found is None or len(path) == 1:
        return found is not None
    return any(_has(inner, path[1:]) for inner in _models(found.annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _models(one)


WEEK_START = "Monday"  # that all pages have

PROFILE: Table = {
    "timeFormat": (24,),
    "weekStart": (WEEK_START,),
    "locale": ("", "en"),
    "bio": NOTHING,
    "avatarUrl": NOTHING,
    "metadata": NOTHING,
    "username": NOTHING,
}


BOOKING: Table = dict.fromkeys(
    (
        "allowConflicts",
        "allowBookingOutOfBounds",
        "instant",
        "meetingUrl",
        "emailVerificationCode",
        "routing",
        "teamSlug",
        "organizationSlug",
        "crmAppSlug",
        "crmOwnerRecordType",
        "rrHostSubsetIds",
    ),
    NOTHING,
) | {"recurrenceCount": (0, 1)}
CANCEL: Table = dict.fromkeys(("cancelSubsequentBookings", "seatUid"), NOTHING)
RESCHEDULE: Table = dict.fromkeys(("seatUid", "emailVerificationCode", "rescheduledBy"), NOTHING)
ATTENDEE: Table = {"phoneNumber": NOTHING, "language": ("", "en", "en-GB", "en-US")}
GUESTS: Table = {f"guests[].{name}": harmless for name, harmless in ATTENDEE.items()}
ABSENT: Table = {"host": NOTHING}
SLOTS: Table = dict.fromkeys(("usernames", "teamSlug", "organizationSlug", "rrHostSubsetIds"), NOTHING_TYPED)
OLD_SLOTS: Table = dict.fromkeys(("orgSlug", "isTeamEvent", "teamMemberEmail"), NOTHING_TYPED)
BOOKINGS_LIST: Table = dict.fromkeys(("teamId", "teamIds", "teamsIds"), NOTHING_TYPED)


DEFAULT_NAME = "{Event type title} between {Organiser} and {Scheduler}"

EVENT_TYPE: Table = dict.fromkeys(
    (
        "seats",
        "recurrence",
        "disableGuests",
        "metadata",
        "offsetStart",
        "onlyShowFirstAvailableSlot",
        "bookingLimitsDuration",
        "bookingLimitsCount.week",
        "bookingLimitsCount.month",
        "bookingLimitsCount.year",
        "bookerActiveBookingsLimit",
        "requiresBookerEmailVerification",
        "color",
        "bookingWindow.rolling",
        "bookingWindow.disabled",
        "bookingFields[].placeholder",
        "bookingFields[].hidden",
        "bookingFields[].disableOnPrefill",
        "bookingFields[].minLength",
        "bookingFields[].maxLength",
        "bookingFields[].price",
        "confirmationPolicy.noticeThreshold",
        "hideCalendarNotes",
        "hideCalendarEventDetails",
        "hideOrganizerEmail",
        "lockTimeZoneToggleOnBookingPage",
        "destinationCalendar",
        "selectedCalendars",
        "useDestinationCalendarEmail",
        "calVideoSettings",
        "bookingRequiresAuthentication",
        "allowReschedulingPastBookings",
        "allowReschedulingCancelledBookings",
        "showOptimizedSlots",
        "emailSettings",
        "schedulingType",
        "hosts",
        "assignAllTeamMembers",
        "rescheduleWithSameRoundRobinHost",
        "rrHostSubsetEnabled",
        "price",
    ),
    NOTHING,
) | {
    "customName": ("", DEFAULT_NAME),
    "interfaceLanguage": ("", "en"),
    "bookerLayouts": ({}, {"defaultLayout": "month", "enabledLayouts": ["month"]}),
    # What waits for the host's answer holds its time.
    "confirmationPolicy.blockUnconfirmedBookingsInBooker": (True,),
    "locations[].public": (True,),  # the page shows it before one books
    "disableCancelling": ({}, {"disabled": False}),
    "disableRescheduling": ({}, {"disabled": False}, {"disabled": False, "minutesBefore": 0}),
}
EVENT_TYPES_LIST: Table = dict.fromkeys(("usernames", "orgSlug", "orgId", "teamId"), NOTHING_TYPED)
