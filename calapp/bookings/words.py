"""Times and lengths as people read them; the pages' template filters."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


def spoken_date(day: date) -> str:
    """Return Monday, 29 March 2027."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def spoken_day(moment: datetime, zone: str) -> str:
    """Return an instant's day in a zone: Monday, 29 March 2027."""
    return spoken_date(moment.astimezone(ZoneInfo(zone)).date())


def clock(moment: datetime, zone: str, twelve: bool = False) -> str:  # noqa: FBT001, FBT002  # a filter's argument
    """Return an instant's clock text in a zone: 15:30, or 3:30pm."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local.hour % 12 or 12}:{local:%M}{local:%p}".lower() if twelve else f"{local:%H:%M}"


def later(moment: datetime, minutes: int) -> datetime:
    """Return the instant so many minutes later."""
    return moment + timedelta(minutes=minutes)


def length(minutes: int) -> str:
    """Return 45 min, 1 h or 1 h 30 min."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{rest} min" if rest else ""]
    return " ".join(part for part in parts if part)
