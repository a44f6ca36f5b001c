"""`python -m tools.bench --doors`: bookings a second by the page, and their p99, with visitors written in C.

For 1, 2 and 4 web processes on each database, in turn with a page of Flask that does nothing. The visitors
and all processes share the machine's cores; no worker runs.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count as count_up
from pathlib import Path
from statistics import median

import psutil
from flask import Flask, redirect
from werkzeug.wrappers import Response

from tools.bench import machine
from tools.bench.ground import Ground
from tools.bench.handwritten import put_section
from tools.bench.plain import ROOT
from tools.bench.receiving import Receiving, wait
from tools.faults.parts import free_port

HERE = Path(__file__).parent
Measured = dict[str, float]
PROCESSES = (1, 2, 4)
VISITORS = 8
STEP = 300  # seconds between the times that are booked
ROUNDS = 3


def plain_page() -> Flask:
    """Return an app with a page that takes a form and leads on, and does nothing else."""
    app = Flask("plain")

    @app.post("/page")
    def page() -> Response:
        return redirect("/done", 303)

    return app


def visited(program: Path, port: int, path: str, bookings: int, first: datetime, step: int) -> Measured:
    """Have visitors send their forms; return the rate, p50 and p99 in seconds, and how many were refused."""
    words = [port, path, bookings, VISITORS, int(first.timestamp()), step]
    printed = subprocess.run([program, *map(str, words)], capture_output=True, check=True).stdout
    made: Measured = json.loads(printed)
    return made


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its children so far."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


class Doors:
    """The web servers that are measured, one at a time."""

    def __init__(self, bookings: int) -> None:
        self.bookings = bookings
        self.folder = Path(tempfile.mkdtemp(prefix="calapp-b"))
        self.program = self.folder / "visitors"
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            sys.exit("This needs a C compiler.")
        source = str(HERE / "visitors.c")
        subprocess.run([compiler, "-O2", "-pthread", "-o", str(self.program), source], check=True)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first = midnight + timedelta(days=2)
        self.taken = {True: count_up(), False: count_up()}

    def flask(self, processes: int) -> Measured:
        """Measure the page that does nothing."""
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-c", "/dev/null"]
        command += ["-b", f"127.0.0.1:{port}", "-w", str(processes), "--threads", "12"]
        command += ["-k", "gthread", "tools.bench.doors:plain_page()"]

        def answers() -> bool:
            with psutil.socket.socket() as one:  # type: ignore[attr-defined]
                return bool(one.connect_ex(("127.0.0.1", port)) == 0)

        process = psutil.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait(answers)
            visited(self.program, port, "/page", 50, self.first, 0)
            cpu, times = cpu_of(process), 5 * self.bookings
            made = visited(self.program, port, "/page", times, self.first, 0)
            return made | {"cpu": (cpu_of(process) - cpu) / times}
        finally:
            process.terminate()
            process.wait()

    def calapp(self, ground: Ground, processes: int) -> Measured:
        """Measure the booking page of a ground, of which each round books new times."""
        ground.web.environment = ground.environment | {"WEB_CONCURRENCY": str(processes)}
        ground.web.start()
        try:
            process = ground.web.all()[0]
            port, path = int(ground.environment["PORT"]), "/rick/door"
            made = {}
            for times in (30, self.bookings):  # the first ones load what is needed
                turn = next(self.taken[ground.settings.sqlite])
                first = self.first + timedelta(seconds=turn * STEP * self.bookings)
                cpu = cpu_of(process)
                made = visited(self.program, port, path, times, first, STEP)
                made["cpu"] = (cpu_of(process) - cpu) / times
            return made
        finally:
            ground.web.kill()


def measure(bookings: int, into: Path) -> None:
    """Measure all of it in turn, and write the table into RESULTS.md."""
    began, load = datetime.now(UTC), machine.load()
    doors = Doors(bookings)
    found: dict[tuple[str, int], list[Measured]] = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, doors.folder, ignore_errors=True)
        receiver = stack.enter_context(Receiving())
        grounds = [stack.enter_context(Ground(receiver, postgresql=kind)) for kind in (False, True)]
        for ground in grounds:
            ground.event_type("door")
        for turn in range(ROUNDS):
            for processes in PROCESSES:
                made = {"a plain Flask page": doors.flask(processes)}
                made |= {ground.name: doors.calapp(ground, processes) for ground in grounds}
                for name, values in made.items():
                    found.setdefault((name, processes), []).append(values)
                    print(f"  round {turn + 1}: {processes} × {name}: {values}", flush=True)
    minutes = (time.time() - began.timestamp()) / 60
    how = (
        f"{began:%d %B %Y}, `make bench ARGS=--doors`, {minutes:.0f} minutes: {VISITORS} visitors written in "
        f"C book by the page, {bookings} times in each of {ROUNDS} rounds, in turn; medians. Web processes, "
        f"database and visitors share the cores; CPU is that of the web processes, with no webhook and no "
        f"limits on requests. Load average before the start {load}."
    )
    lines = [
        "### The front door",
        "",
        how,
        "",
        "| web processes | | requests/s | p50, ms | p99, ms | CPU of one, ms |",
        "|---|---|---|---|---|---|",
    ]
    for (name, processes), rounds in sorted(found.items(), key=lambda one: (one[0][1], one[0][0])):
        rate, p50, p99, cpu = (median(one[key] for one in rounds) for key in ("rate", "p50", "p99", "cpu"))
        refused = sum(one["refused"] for one in rounds)
        note = f" ({refused:.0f} refused)" if refused else ""
        cells = f"{rate:,.0f}{note} | {p50 * 1000:.1f} | {p99 * 1000:.1f} | {cpu * 1000:.2f}"
        lines.append(f"| {processes} | {name} | {cells} |")
    put_section(into / "RESULTS.md", "doors", "\n".join(lines))
