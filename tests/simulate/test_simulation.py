"""Seeds of the simulation, as `make simulate` walks them, and what it has found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.mutants.faults import FAULTS, Fault
from tools.simulate.runs import Ground, failure, ground
from tools.simulate.seen import Broken

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def here(migrated: Path) -> Iterator[Ground]:
    with ground(migrated) as made:
        yield made


@pytest.mark.parametrize("first", range(1, 201, 20))
def test_every_invariant_holds_on_twenty_short_walks(here: Ground, first: int) -> None:
    failed = [str(found) for seed in range(first, first + 20) if (found := failure(here, seed, 5))]
    assert not failed, failed[0]


def test_a_seed_replays_the_same_walk(here: Ground) -> None:
    assert here.walk(7, 12).trace == here.walk(7, 12).trace


@pytest.mark.parametrize(
    "seed",
    [
        11,  # an event waited only for a resent delivery, not for the earlier event of its booking behind it
        39,  # events that had expired took the places of others, which then waited for ten seconds
        175,  # an event that no longer waited for an earlier one passed a parked one that was undecided
        276,  # an event waited for a resent delivery that had failed, not for its booking's earlier event
        392,  # a late failure, which does not count, released the next event of its booking
        570,  # SQLite gave a new delivery the id of a deleted one that was still in flight
        655,  # what waited behind an event that was parked by a 410 waited on for a decision
        1493,  # an erased event was still marked to be sent now
        3222,  # a check knew one body of an event at a webhook, and a host may choose between two
        3527,  # a check did not know that an event goes when the one before it has failed often enough
        4659,  # an event passed one that was parked after its host had chosen to discard those before it
        6181,  # a check expected the backoff of a webhook that a 410 had switched off
        9474,  # a check compared instants before and after a clock had been set back
        9599,  # an event expired while the worker that had sent it slept
        20118,  # a check let nothing wait behind what its host had switched off while it was out
    ],
)
def test_what_it_has_found_stays_mended(here: Ground, seed: int) -> None:
    assert "at rest" in here.walk(seed).trace[-1]


def test_a_broken_invariant_is_reported_with_its_trace(here: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calapp.deliveries.outbox.wake_workers", lambda: None)
    failed = next(found for seed in range(1, 9) if (found := failure(here, seed, 12)))
    assert failed.words.startswith(Broken.__name__)
    assert "BOOKING_" in str(failed)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_seeded_fault_still_fits_its_module(fault: Fault) -> None:
    source = (ROOT / fault.path).read_text()
    assert fault.applied(source) != source
