"""When to try again."""

from datetime import UTC, datetime

import pytest

from calapp.config import DEFAULT_SCHEDULE
from calapp.deliveries.policy import (
    MAX_RETRY_AFTER,
    MAX_WEBHOOK_DELAY,
    About,
    about,
    backoff_delay,
    next_delay,
    retry_after,
    spread,
)

AT = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)


def test_each_try_is_followed_by_the_schedules_delay() -> None:
    for tries, delay in enumerate(DEFAULT_SCHEDULE, start=1):
        assert next_delay(DEFAULT_SCHEDULE, tries) == pytest.approx(delay, rel=0.2)


def test_after_the_last_delay_there_is_no_further_try() -> None:
    assert next_delay((5, 300), 3) is None
    assert next_delay((), 1) is None


def test_the_whole_schedule_takes_about_75_hours() -> None:
    assert sum(DEFAULT_SCHEDULE) / 3600 == pytest.approx(75, abs=3)


def test_delays_are_spread_by_a_fifth() -> None:
    delays = [spread(100) for _ in range(2000)]
    assert 80 <= min(delays) < 85
    assert 115 < max(delays) <= 120


def test_a_webhook_is_left_alone_as_long_as_it_has_failed() -> None:
    assert backoff_delay(DEFAULT_SCHEDULE, 600) == pytest.approx(600, rel=0.2)


def test_a_webhook_is_tried_at_least_every_half_hour() -> None:
    assert backoff_delay(DEFAULT_SCHEDULE, 5 * 86400) <= MAX_WEBHOOK_DELAY * 1.2
    assert backoff_delay((), 10) == MAX_WEBHOOK_DELAY


def test_a_webhook_that_has_just_failed_waits_the_first_delay() -> None:
    assert backoff_delay(DEFAULT_SCHEDULE, 0) == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("86400", 86400),
        ("999999999999999999999999999999", MAX_RETRY_AFTER),
        ("Mon, 04 Jan 2027 09:31:00 GMT", 60),
        ("Mon, 04 Jan 2027 09:31:00 +0100", None),
        ("Mon, 04 Jan 2027 09:30:30", 30),
        ("Fri, 01 Jan 2100 00:00:00 GMT", MAX_RETRY_AFTER),
        ("Mon, 04 Jan 2027 09:29:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_read(value: str, seconds: int | None) -> None:
    assert retry_after(value, AT) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-5", "1.5", "+3", "١٢", "0x10", "Mon, 99 Jan 2027 99:99:99 GMT", "," * 50, "1 2 3", "\0"]
)  # fmt: skip
def test_nonsense_is_ignored(value: str) -> None:
    assert retry_after(value, AT) is None


@pytest.mark.parametrize(
    ("status", "seconds", "subject"),
    [
        (400, 0.1, About.EVENT),
        (422, 5.0, About.EVENT),
        (422, 5.1, About.ENDPOINT),
        (500, 0.1, About.EVENT),
        (501, 0.1, About.EVENT),
        (401, 0.1, About.DENIED),
        (405, 4.9, About.DENIED),
        (404, 9.0, About.ENDPOINT),
        *((status, 0.1, About.ENDPOINT) for status in (301, 308, 408, 425, 429, 502, 503, 504, 521, 599)),
        (None, 0.1, About.ENDPOINT),
        (None, 15.0, About.ENDPOINT),
    ],
)
def test_d3_a_failure_speaks_about_the_event_or_the_endpoint(status, seconds, subject) -> None:
    assert about(status, seconds) is subject
