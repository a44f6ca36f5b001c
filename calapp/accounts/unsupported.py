"""What Cal.com's API takes about a host and this one does not do, by the names on the wire."""

from calapp.rest.unsupported import NOTHING, Table

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
