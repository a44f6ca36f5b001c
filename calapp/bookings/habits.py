"""How whoever asks reads clocks and weeks."""

from dataclasses import replace

from flask import request

from calapp.local_time import Habits, habits_of


def habits_of_request() -> Habits:
    """Return the habits of this browser: as chosen on a page before, else as its language has them."""
    habits, remembered = habits_of(request.accept_languages), request.cookies.get("tf", "")
    chosen = request.values.get("tf", remembered)
    return replace(habits, twelve=chosen == "12", known=True) if chosen in {"12", "24"} else habits
