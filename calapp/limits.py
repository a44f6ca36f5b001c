"""How many of each thing there may be: fixed numbers, each with its unit and its reason.

What an operator may change is a setting (config.py, README). What is counted by time, per address or per key,
is in incoming.py; the setting RATE_LIMITS switches off those alone, never a number of this module.
"""

import logging

from calapp.errors import LimitReached

log = logging.getLogger(__name__)

# Delivered with each event, in the transaction of the booking: what is here is what one booking costs.
WEBHOOKS_PER_HOST = 100  # default of the setting
API_KEYS_PER_HOST = 50  # default of the setting; a team has a handful, a leak in a loop would make thousands
EVENT_TYPES_PER_HOST = 100  # default of the setting; all are on one public page without paging

# All of a host's are read for each look at free times.
DATES_PER_HOST = 400  # of a schedule, from today on: each day of a year, and a month ahead
DATES_AT_ONCE = 31  # that one form gives the same hours
SCHEDULES_PER_HOST = 20  # one for each kind of meeting and each place; all are in one list
TIME_OFF_PER_HOST = 100  # that is not over: each week of two years
RANGES_PER_DAY = 12  # a practice with a break each hour
# They share the worker's step for replays: what one host starts may not keep others waiting.
REPLAYS_PER_HOST = 5  # that run at a time, one for a webhook

GUESTS_PER_BOOKING = 20  # each gets every email, and is in every payload

CALENDARS_PER_HOST = 10  # read every five minutes, and all looked at for each look at free times
CALENDAR_ACCOUNTS_PER_HOST = 5  # on CalDAV servers; each has many calendars

HEADERS_PER_WEBHOOK = 10  # sent with each delivery; receivers ask for one or two
INSPECTOR_REQUESTS = 50  # that an inspector keeps; its bytes are limited below
EMAILS_KEPT = 365  # days after which an email that was sent, given up or discarded is removed
SEARCH_CHARACTERS = 100  # of a search in bookings, which each row is compared with

SESSIONS_PER_HOST = (
    100  # browsers in which a host is signed in; a program that signs in each time ends old ones
)

# Of a password or code; a person mistypes three times, a program should not get through a list of words.
FAILED_GUESSES_PER_MINUTE = 10  # for a name and an address together, and for a browser that is known
FAILED_GUESSES_PER_ADDRESS = (
    100  # an hour, over all names; an office mistypes less, a list of names is longer
)
LONGEST_GUESS_DELAY = 60  # seconds; a delay, not a lock: who knows the password gets in within a minute

# Forms whose session had ended, kept for ten minutes, for a host and for an address: a person has a few tabs.
UNSAVED_FORMS = 10

# Links that set a password or confirm an address: one arrives or is in the spam folder.
LINKS_PER_HOUR = 3  # sent to a host
LINK_REQUESTS_PER_HOUR = 20  # from an address, over all names

# Secrets and header values that a process keeps decrypted, about 10 MB: to decrypt one costs 24 µs.
OPENED_SECRETS = 16_384

# A payload template, which every event of its webhook is rendered with in the transaction of the booking.
TEMPLATE_CHARACTERS = 10_000
TEMPLATE_VARIABLES = 100
TEMPLATE_DEPTH = 100  # levels of JSON; parsers of receivers stop between 100 and 1,000
TEMPLATE_PATH = 200  # characters of a variable; the longest that leads anywhere has less than 100
BODY_BYTES = 256 * 1024  # of a rendered body; receivers take that much without being configured for more
EVENT_BYTES = 1024 * 1024  # of all bodies of one event, which one transaction writes

# What visitors may cause (bookings/visitors.py). A person moves a meeting twice and books three.
MOVES_PER_HOUR = 10  # default of the setting
RECIPIENTS_PER_HOUR = 60  # default of the setting: two full tables of 20 guests, and some changes of mind
RECIPIENTS_PER_DAY_PER_HOST = 500  # default of the setting: what small mail providers send in a day
OPEN_BOOKINGS_PER_ADDRESS = 5  # default of the setting; an office behind one address still gets in
OPEN_BOOKINGS_PER_EMAIL = 5  # default of the setting

URL_LENGTH = 2000  # characters of a webhook's URL as it was typed; the column's length
# The same URL percent-encoded, in characters: each may become twelve, and gunicorn, which many receivers run
# behind, reads request lines of 4,094 bytes.
SENT_URL_LENGTH = 4000

# A page of the booker has at most 512 KB, whatever its address or form brings: 130 KB of metadata, escaped,
# 8 KB of prefill, which escaped may take five times as much, and what was typed.
PREFILL_BYTES = 8 * 1024  # of all prefill of a link together, as in other booking pages
TYPED_BYTES = 240 * 1024  # of all that was typed, escaped, when a form comes back
LINE_BYTES = 16 * 1024  # of one line of a form, escaped, when it comes back; a URL has 2,000 characters
CHOICE_BYTES = 1024  # of a choice that there is not, escaped, which is shown twice
LEFT_OUT_ENTRIES = 50  # reasons why metadata was left out, which go along with the link's further pages
LINK_LENGTH = 90_000  # characters of a signed link; gunicorn.conf.py lets request lines have 98,304 bytes

# What the inspector keeps and shows. A page has at most 512 KB: escaped, a body takes five times its size.
INSPECTED_BODY_BYTES = 64 * 1024  # kept of a body, and shown of one
INSPECTED_HEADER_BYTES = 16 * 1024  # kept of a request's headers; a webhook sends 1 to 3 KB
INSPECTOR_BYTES = 1024 * 1024  # kept for a host, headers included: 50 usual events have 200 KB
COPIED_BYTES = 48 * 1024  # escaped; a longer body is on the page once, without a Copy button


def log_reached(limit: str, host: int | None) -> None:
    """Log for the operator that a host has reached a limit."""
    log.warning("limit reached", extra={"said": {"limit": limit, "host": host}})


def reached(limit: str, *, host: int | None, words: str, field: str | None = None) -> LimitReached:
    """Log that a host has reached a limit of number, and return the error to raise.

    `words` is the sentence for the person, with the number in it; `field` the form field it is shown at.
    """
    log_reached(limit, host)
    return LimitReached(words, **({field: words} if field else {}))
