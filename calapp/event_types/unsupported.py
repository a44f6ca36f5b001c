"""What Cal.com's API takes for event types and this one does not do, by the names on the wire."""

from calapp.rest.unsupported import NOTHING, NOTHING_TYPED, Table

DEFAULT_NAME = "{Event type title} between {Organiser} and {Scheduler}"

BODY: Table = dict.fromkeys(
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
LIST: Table = dict.fromkeys(("usernames", "orgSlug", "orgId", "teamId"), NOTHING_TYPED)
