"""What every act of a walk needs: the seed's dice, the world, the checks and the trace."""

import random

from flask import Flask

from tools.simulate import model
from tools.simulate.checks import Checks
from tools.simulate.world import World


class Acts:
    """One walk so far; `trace` has a line for each thing that was done."""

    def __init__(self, app: Flask, seed: int) -> None:
        self.rng = random.Random(seed)
        random.seed(seed)  # what spreads the product's delays
        self.seed = seed
        self.world = World(app, self.rng)
        self.checks = Checks(self.world)
        self.meetings: dict[str, model.Meeting] = {}  # by uid
        self.chains: dict[str, str] = {}  # uid: chain
        self.kinds = self.checks.kinds
        self.erased: set[str] = set()  # uids
        self.trace: list[str] = []
        self.taken = 0

    def say(self, words: str) -> None:
        self.trace.append(f"{self.world.clock.passed:12.2f} s  {words}")
