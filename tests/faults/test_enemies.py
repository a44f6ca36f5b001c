"""The short forms of the experiments in which receivers, name servers and visitors do their worst."""

from tools.faults import booking, hostile, states
from tools.faults.report import held


def test_a_conflict_after_the_event_leaves_no_ghost() -> None:
    assert held(booking.late_conflict) == []


def test_fifty_hanging_receivers_end_at_the_deadline() -> None:
    assert held(hostile.hanging_receivers) == []


def test_a_dripping_receiver_ends_at_the_deadline() -> None:
    assert held(hostile.drips) == []


def test_floods_of_a_receiver_fill_no_memory() -> None:
    assert held(hostile.floods) == []


def test_no_redirect_of_a_receiver_is_followed() -> None:
    assert held(hostile.redirects) == []


def test_a_name_that_turns_leads_to_no_connection() -> None:
    assert held(hostile.turncoat_names) == []


def test_a_receiver_is_left_alone_as_long_as_it_asks() -> None:
    assert held(hostile.retry_after) == []


def test_a_receiver_that_is_gone_gets_its_events_later() -> None:
    assert held(states.gone) == []


def test_twenty_processes_never_book_one_time_twice() -> None:
    assert held(booking.overlapping) == []
