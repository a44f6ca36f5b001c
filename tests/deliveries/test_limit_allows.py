"""How many requests a limit per second allows at an instant."""

from datetime import UTC, datetime, timedelta

from calapp.deliveries.policy import limit_begins, requests_allowed

AT = datetime(2027, 1, 4, 12, tzinfo=UTC)


def test_an_idle_second_is_not_made_up_for() -> None:
    long_ago = limit_begins(AT - timedelta(hours=1), AT)
    assert [requests_allowed(long_ago, limit, AT) for limit in (1, 5, 20, 1000)] == [1, 1, 3, 101]
    assert requests_allowed(limit_begins(None, AT), 5, AT) == 1


def test_what_was_sent_ahead_is_waited_for() -> None:
    assert requests_allowed(limit_begins(AT + timedelta(seconds=0.01), AT), 1000, AT) == 0
