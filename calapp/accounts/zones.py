"""Time zones by their IANA names, for select boxes."""

from functools import cache
from zoneinfo import available_timezones

_REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


# Names that mean another zone on every machine, or none.
_NOT_ZONES = {"localtime", "posixrules", "Factory"}


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


@cache
def zone_names() -> tuple[str, ...]:
    """Return every zone's name in order, old ones included, since browsers still report them."""
    return tuple(sorted(_names()))


def is_zone(name: str) -> bool:
    """Say whether this is the name of a zone; old names such as US/Eastern count."""
    return name in _names()


def grouped(chosen: str = "") -> dict[str, list[str]]:
    """Return region → names for a select box, with `chosen` among them even when it is an old name."""
    groups: dict[str, list[str]] = {"UTC": ["UTC"]}
    for name in sorted(_names()):
        region = name.split("/")[0]
        if region in _REGIONS and "/" in name:
            groups.setdefault(region, []).append(name)
    if is_zone(chosen) and not any(chosen in names for names in groups.values()):
        groups["UTC"].append(chosen)
    return groups
