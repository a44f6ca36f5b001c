"""Lengths as people read them; template filters."""


def length(minutes: int) -> str:
    """Return 45 min, 1 h or 1 h 30 min."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{rest} min" if rest else ""]
    return " ".join(part for part in parts if part)
