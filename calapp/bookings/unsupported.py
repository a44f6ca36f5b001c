"""What Cal.com's API takes for bookings and free times and this one does not do, by the names on the wire."""

from calapp.rest.unsupported import NOTHING, NOTHING_TYPED, Table

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
LIST: Table = dict.fromkeys(("teamId", "teamIds", "teamsIds"), NOTHING_TYPED)
