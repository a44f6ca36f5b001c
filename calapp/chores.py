"""The RQ job of the queue `chores`: what a worker does besides delivering, each step a short transaction."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from calapp.db import transaction
from calapp.deliveries import upkeep
from calapp.stopping import stop_requested

Step = Callable[[Session], int]

# Each changes at most a step of rows and returns how many; one that did a whole step is asked again.
STEPS: tuple[Step, ...] = (
    upkeep.park_waiting,
    upkeep.free_left_behind,
    upkeep.tell_gone,
    upkeep.watch_failing,
    upkeep.expire_parked,
    upkeep.remove_deleted,
    upkeep.prune,
)


def do_chores() -> None:
    """Do every chore that there is to do, then stop."""
    for step in STEPS:
        repeat(step)


def repeat(step: Step) -> int:
    """Do a step until nothing is left of it or this process is asked to stop; return how many rows it was."""
    done = 0
    while not stop_requested():
        with transaction() as session:
            count = step(session)
        done += count
        if count < upkeep.STEP:
            break
    return done
