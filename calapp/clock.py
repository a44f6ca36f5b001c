"""The only reader of the clock, so that tests have one thing to replace, and the only writer of instants."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant, aware, in UTC."""
    return datetime.now(UTC)


def iso_seconds(instant: datetime) -> str:
    """Write an instant as payloads do: 2027-01-05T10:00:00Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_milliseconds(instant: datetime) -> str:
    """Write an instant as createdAt, the API and JSON logs do: 2027-01-04T09:30:00.000Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
