"""Text that comes in, made fit for every format that it goes out in: pages, JSON, emails, calendars, logs.

A calendar's line or an email's header has an alphabet of its own, and strict readers give up on the whole
file for one character outside of it. So such characters are taken out where the text comes in: by the request
(`calapp/incoming.py`), the JSON body (`calapp/rest/routes.py`) and the forms. What was stored before that is
cleaned where it goes out. Passwords, secrets and templates stay as they are, but for NUL.
"""

import re
import unicodedata
from typing import Any

# Control characters but tab and newline (C0, DEL, C1), lone surrogates, and Unicode's noncharacters.
_NONCHARACTERS = "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_UNWANTED = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_LINE_END = re.compile("\r\n|[\u2028\u2029]")  # the latter two end a line for Python and JavaScript, too
# Embeddings, overrides and isolates turn what follows them around: "evil[RLO]fdp.exe" reads as a PDF.
# The marks that single letters need (LRM, RLM, ALM) stay.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
ACCENTS = r"[\u0300-\u036f]"  # the marks that NFD takes off letters; PostgreSQL reads this pattern, too
_ACCENTS = re.compile(ACCENTS)
# Letters that Unicode does not take apart, as they are typed on other keyboards.
PLAIN_LETTERS = {
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "\u0131": "i",
    "ł": "l",
    "ø": "o",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
}
_PLAIN = str.maketrans(PLAIN_LETTERS)


def clean(text: str) -> str:
    """Return a text of several lines without control characters but tab and newline; CRLF becomes LF."""
    return _UNWANTED.sub("", _LINE_END.sub("\n", text))


def spaced(text: str) -> str:
    """Return a text of one line: clean, each run of white space one space."""
    return " ".join(clean(text).split())


def line(text: str) -> str:
    """Return a text of one line that turns nothing around: for titles, subjects, and what is beside them.

    A person's name is stored as they write it (`spaced`), and goes through this where it is shown.
    """
    return spaced(_TURNING.sub("", text))


def storable(text: str) -> str:
    """Return a text without what no database can hold (NUL, lone surrogates), else as it is."""
    return _UNSTORABLE.sub("", text)


def unaccented(text: str) -> str:
    """Return a text as searches compare it, in lower case and without accents: Nguyễn becomes nguyen."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text.lower())).translate(_PLAIN)


def is_storable(text: str) -> bool:
    """Return whether a database can hold this text."""
    return _UNSTORABLE.search(text) is None


def whole_number(text: str, *, digits: int = 18) -> int | None:
    """Return the number that a text of ASCII digits writes; None for all else, and for more than `digits`.

    Eighteen are what both databases hold. `str.isdigit` alone is true for "²" too, which `int` does not read.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def clean_tree(tree: Any) -> Any:
    """Return parsed JSON with each of its texts clean, the keys of objects too."""
    if isinstance(tree, str):
        return clean(tree)
    if isinstance(tree, list):
        return [clean_tree(one) for one in tree]
    if isinstance(tree, dict):
        return {clean(key): clean_tree(value) for key, value in tree.items()}
    return tree


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return "".join(letter for letter in text if letter.isprintable())
