"""`python -m tools.mutants`: runs the simulation on each seeded fault and prints which are caught."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.mutants.faults import FAULTS, Fault
from tools.simulate.runs import MEMORY, migrated_database

ROOT = Path(__file__).parents[2]
LEAST_CAUGHT = 28
FOUND = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of a fault: by which seed and invariant it was caught, or not."""

    fault: Fault
    caught: bool
    words: str
    seconds: float

    def __str__(self) -> str:
        how = "caught  " if self.caught else "NOT     "
        return f"{how} {self.fault.module:7} {self.fault.name}: {self.words} ({self.seconds:.0f} s)"


def tried(fault: Fault, seeds: int, migrated: Path) -> Result:
    """Run the simulation on a copy of the source with a fault in it."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="calapp-m", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        for one in ROOT.iterdir():
            if one.name not in {"calapp", ".git"}:
                (folder / one.name).symlink_to(one)
        shutil.copytree(ROOT / "calapp", folder / "calapp", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("templates", "static"):
            if (ROOT / name).is_dir() and not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        path = folder / fault.path
        path.write_text(fault.applied(path.read_text()))
        command = [
            sys.executable,
            "-P",
            "-m",
            "tools.simulate",
            "--seeds",
            str(seeds),
            "--processes",
            "1",
            "--migrated",
            str(migrated),
        ]
        environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = FOUND.search(run.stdout)
    if run.returncode == 0:
        words = f"not caught by {seeds} seeds"
    elif found:
        words = f"seed {found[1]}, {found[2][:150]}"
    else:
        raise RuntimeError(
            f"{fault.name}: the simulation did not run\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
        )
    return Result(fault, run.returncode != 0, words, time.monotonic() - began)


def main() -> int:
    """Try every fault; exit with 1 when fewer are caught than should be."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("only", nargs="*", help="words of the names of some faults; none: all")
    parser.add_argument("--seeds", type=int, default=120, help="seeds that are walked at most for each")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    given = parser.parse_args()
    chosen = [one for one in FAULTS if not given.only or any(word in one.name for word in given.only)]
    began, migrated = time.monotonic(), migrated_database()
    results = []
    with ThreadPoolExecutor(given.processes) as pool:
        for result in pool.map(lambda fault: tried(fault, given.seeds, migrated), chosen):
            print(result, flush=True)
            results.append(result)
    caught = sum(result.caught for result in results)
    print(f"{caught} of {len(results)} faults were caught, {time.monotonic() - began:.0f} s")
    return (
        0
        if len(results) - caught <= len(FAULTS) - LEAST_CAUGHT and (given.only or caught >= LEAST_CAUGHT)
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
