"""Finding an address in what people wrote, and taking it out."""

import re
from typing import Any

Pattern = re.Pattern[str]


def pattern_of(address: str) -> Pattern:
    """Return what finds this address and no longer one that it is a part of; letters in either case.

    A line break of JSON text, written as a backslash and a letter, is no part of an address.
    """
    before = r"(?:(?<![\w.+%-])|(?<=\\[bfnrt]))"
    return re.compile(rf"{before}{re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE)


def mentions(values: Any, address: Pattern) -> bool:
    """Say whether an address stands in one of these texts, lists or dicts of texts."""
    return any(redacted(value, address, "") != value for value in values)


def redacted(value: Any, address: Pattern, instead: str) -> Any:
    """Return a text, or a list or dict of texts, with `instead` where the address stood."""
    if isinstance(value, str):
        return address.sub(instead, value)
    if isinstance(value, list):
        return [redacted(one, address, instead) for one in value]
    if isinstance(value, dict):
        return {
            redacted(key, address, instead): redacted(one, address, instead) for key, one in value.items()
        }
    return value
