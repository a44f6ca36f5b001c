"""All pages of this package, on one blueprint: the visitor's and the host's."""

from calapp.bookings import booker_views, booking_views, host_views, words
from calapp.bookings.blueprint import blueprint
from calapp.bookings.mails import spoken_time
from calapp.deliveries.body import instant

__all__ = ["blueprint", "booker_views", "booking_views", "host_views"]

FILTERS = {
    "spoken_date": words.spoken_date,
    "spoken_day": words.spoken_day,
    "spoken_time": spoken_time,
    "clock": words.clock,
    "later": words.later,
    "minutes": words.length,
    "instant": instant,
}
for name, function in FILTERS.items():
    blueprint.add_app_template_filter(function, name)
