"""Phone numbers as people write them, read into the one form that every phone takes (E.164)."""

from functools import cache
from importlib.resources import files

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

MAX_PHONE = 40  # characters of a number as it is typed
HOW = "Please enter a phone number with its country code, such as +49 30 901820."


def read_phone(text: str, zone: str) -> str:
    """Return a phone number as +4930901820; raise ValueError with the words for what is none.

    A number without a + is one of the country of the time zone, and must be in use there. One with it need
    only be as long as its country's numbers are: numbering plans change, and who types a + means it.
    """
    national = not text.strip().startswith("+")
    try:
        number = phonenumbers.parse(text[: MAX_PHONE + 1], regions().get(zone) if national else None)
    except NumberParseException:
        raise ValueError(HOW) from None
    fitting = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if len(text) > MAX_PHONE or not fitting or (national and not phonenumbers.is_valid_number(number)):
        raise ValueError(HOW)
    if number.extension:
        raise ValueError("Please enter the phone number without an extension.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@cache
def regions() -> dict[str, str]:
    """Return the country (ISO 3166) of each time zone that is in one, by zone.tab and its links.

    https://data.iana.org/time-zones/tzdb/zone.tab
    """
    folder = files("tzdata") / "zoneinfo"
    rows = (line.split("\t") for line in (folder / "zone.tab").read_text().splitlines())
    found = {row[2]: row[0] for row in rows if len(row) > 2 and not row[0].startswith("#")}
    for line in (folder / "tzdata.zi").read_text().splitlines():
        kind, *names = line.split()
        if kind == "L" and names[0] in found:
            found.setdefault(names[1], found[names[0]])
    return found
