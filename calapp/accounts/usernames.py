"""What a username may be: it is the first part of a public address."""

import re
import unicodedata

# First segments that are, were or may become addresses of the app; tests/test_reserved_names.py holds it
# against the addresses that exist.
_RESERVED = """
about account accounts admin api app apps assets auth availability billing blog booking bookings cal
calapp calendar contact dashboard demo-login developer docs embed event-types events favicon.ico
favicon feed feeds forgot-password health healthz help home hooks host hosts ics inbox index
insights integrations legal login logout mail mails metrics new null oauth privacy public
reset-password robots.txt root security settings setup signin signout signup static status support
system team teams terms undefined user users v1 v2 v3 webhook webhooks well-known workflows www
"""
RESERVED_NAMES = frozenset(_RESERVED.split())

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])")


def normal(username: str) -> str:
    """Return a username as it is kept: without space around it, in lower case, wide letters as plain ones."""
    return unicodedata.normalize("NFKC", username).strip().lower()


def complaint(username: str) -> str | None:
    """Return what is wrong with a (normal) username, or None."""
    if not username:
        return "Please choose a username."
    if not _USERNAME.fullmatch(username):
        return "Please use 2 to 40 letters (a to z), digits, - and _, with a letter or digit at both ends."
    if username in RESERVED_NAMES:
        return "This name is reserved. Please choose another."
    return None
