"""The short forms of the experiments in which a process dies, hangs or is asked to stop."""

from tools.faults import deaths
from tools.faults.report import held


def test_a_killed_worker_loses_no_delivery() -> None:
    assert held(deaths.worker_killed) == []


def test_bookings_go_on_without_valkey() -> None:
    assert held(deaths.valkey_away) == []


def test_a_killed_web_server_leaves_no_ghost() -> None:
    assert held(deaths.web_killed) == []


def test_a_stopped_worker_finishes_what_is_in_flight() -> None:
    assert held(deaths.sigterm) == []


def test_o1_a_worker_whose_forks_fail_goes_on_once_they_do_not() -> None:
    assert held(deaths.no_fork) == []
