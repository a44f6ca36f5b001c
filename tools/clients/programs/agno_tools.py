"""Find, book, move, list and cancel with agno's CalComTools."""

import json
import re
import sys

from agno.tools.calcom import CalComTools

given = json.load(sys.stdin)
tools = CalComTools(api_key=given["key"], event_type_id=given["eventTypeId"], user_timezone="Europe/Berlin")


def said(words: str, answer: str) -> str:
    assert words in answer, answer
    return answer


said("Available slots: 2", tools.get_available_slots(given["from"], given["to"]))
booked = said(
    "Booking created successfully", tools.create_booking(given["start"], "Ada Byron", "ada@example.com")
)
uid = re.search(r"uid: (\S+)", booked)[1]
said(uid, tools.get_upcoming_bookings("ada@example.com"))
moved = said("Booking rescheduled", tools.reschedule_booking(uid, given["other"], "Travel"))
uid = re.search(r"uid: (\S+)", moved)[1]
said("cancelled successfully", tools.cancel_booking(uid, "Ill"))
said("No upcoming bookings", tools.get_upcoming_bookings("nobody@example.com"))
said("Failed to create booking", tools.create_booking("2020-01-01T10:00:00Z", "Ada", "ada@example.com"))
print("All five tools: times, book, list, reschedule, cancel.")
