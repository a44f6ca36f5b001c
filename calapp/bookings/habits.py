"""How people read clocks and weeks where they are, as their browser's Accept-Language says it.

The regions are those of Unicode's CLDR (supplemental data, timeData and weekData).
"""

from dataclasses import dataclass

from werkzeug.datastructures import LanguageAccept

from calapp.bookings.phones import regions

_TWELVE_HOURS = """
AE AG AL AS AU BB BD BH BM BS BT CA CO CY DJ DM DO DZ EG EH ER ET FJ FM GD GH GM GR GU GY HK IN IQ
JM JO KH KI KN KP KR KW KY LB LC LR LS LY MH MO MP MR MW MY NA NP NZ OM PA PG PH PK PR PS PW QA SA
SB SD SG SL SO SS SY SZ TC TD TN TO TT TW UM US VC VE VG VI VU WS YE ZM
"""
TWELVE_HOURS = frozenset(_TWELVE_HOURS.split())
_SUNDAY_FIRST = """
AG AS BD BR BS BT BW BZ CA CO DM DO ET GT GU HK HN ID IL IN JM JP KE KH KR LA MH MM MO MT MX MZ NI
NP PA PE PH PK PR PT PY SA SG SV TH TT TW UM US VE VI WS YE ZA ZW
"""
SUNDAY_FIRST = frozenset(_SUNDAY_FIRST.split())
_SATURDAY_FIRST = """
AE AF BH DJ DZ EG IQ IR JO KW LY OM QA SD SY
"""
SATURDAY_FIRST = frozenset(_SATURDAY_FIRST.split())
# Where a language that is named without a region is mostly spoken, where that has other habits than most.
_LIKELY = """
am-ET ar-EG bn-BD el-GR en-US fa-IR he-IL hi-IN id-ID ja-JP km-KH ko-KR ms-MY ne-NP pt-BR sq-AL
ta-IN th-TH ur-PK
"""
LIKELY = dict(pair.split("-") for pair in _LIKELY.split())


@dataclass(frozen=True)
class Habits:
    """Whether clocks have twelve hours, a week's first day (0 is Monday), and whether anybody has said so."""

    twelve: bool = False
    first_weekday: int = 0
    known: bool = False


def twelve_hours_in(zone: str) -> bool:
    """Return whether clocks have twelve hours where a time zone is; for emails, which have no browser."""
    return regions().get(zone) in TWELVE_HOURS


def habits_of(languages: LanguageAccept) -> Habits:
    """Return the habits of the language that a browser likes best; 24 hours and Monday for none."""
    parts = (languages.best or "").replace("_", "-").split("-")
    named = (part.upper() for part in parts[1:] if len(part) == 2)
    region = next(named, "") or LIKELY.get(parts[0].lower(), "")
    # Canadians write 15:30 in French.
    twelve = region in TWELVE_HOURS and not (region == "CA" and parts[0].lower() == "fr")
    first_weekday = 6 if region in SUNDAY_FIRST else 5 if region in SATURDAY_FIRST else 0
    return Habits(twelve, first_weekday, known=bool(languages))
