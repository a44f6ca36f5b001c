"""How much of everything is measured: fully, in two minutes, or only so that it runs at all."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Rounds and counts; times in seconds."""

    name: str
    rounds: int
    deliveries: int  # of one drain
    plain: int  # deliveries of the plain design
    backlog: int  # what waits in the large database
    claims: int
    steady: float  # measured of deliveries that go on
    latencies: int
    plain_latencies: int
    hanging: float  # measured beside endpoints that hang
    alone: int  # events one every 20 ms
    rest: float  # seconds in which nothing happens
    bookings: int
    picture: tuple[int, ...]  # hanging endpoints of the picture
    backlogs: tuple[int, ...]  # waiting deliveries of the picture, beside the large one
    postgresql: bool = True


FULL = Size(
    "full",
    3,
    10_000,
    60,
    1_000_000,
    40,
    3.0,
    100,
    40,
    8.0,
    500,
    20.0,
    160,
    (0, 150, 300),
    (1000, 10_000, 30_000),
)
QUICK = Size("quick", 1, 3_000, 25, 50_000, 15, 1.5, 40, 15, 4.0, 150, 6.0, 80, (0, 300), (1000,))
TINY = Size("tiny", 1, 100, 2, 1_000, 2, 0.3, 3, 2, 0.5, 3, 0.2, 8, (0,), (100,), postgresql=False)
