"""All pages of this package, on one blueprint: the visitor's and the host's."""

from calapp.bookings import booker_views, booking_views, host_views, protection_views, words
from calapp.bookings.blueprint import blueprint
from calapp.deliveries.body import instant
from calapp.local_time import clock, clock_span, spoken_date, spoken_day, spoken_time, zone_label
from calapp.text import line

__all__ = ["blueprint", "booker_views", "booking_views", "host_views", "protection_views"]

FILTERS = {
    "spoken_date": spoken_date,
    "spoken_day": spoken_day,
    "spoken_time": spoken_time,
    "clock": clock,
    "clock_span": clock_span,
    "zone_label": zone_label,
    "line": line,
    "minutes": words.length,
    "instant": instant,
}
for name, function in FILTERS.items():
    blueprint.add_app_template_filter(function, name)
