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


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


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
