"""What has to be so after each step of the document, and what surrounds the steps in a real Debian."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools.deployment.debian import Debian

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNITS = ("calapp-web.service", "calapp-worker.service")
SERVICES = ("postgresql", "valkey-server")
RECEIVED = "/srv/received"
MOST_EXPOSED = 3.0


class Checks:
    """Checks what a step did, and does what surrounds it: starts what Debian starts, books, receives."""

    def __init__(self, debian: Debian) -> None:
        self.debian = debian
        self.kept: list[str] = []  # bookings that have to be there to the end
        self.lost = ""  # the booking that the restored backup does not know

    def before(self, heading: str, block: str) -> None:
        """Do what happens between the steps."""
        if "systemctl stop" in block:
            self.lost = self._book(14)
        if "pull" in block:
            self.debian.publish(ROOT, "HEAD")

    def after(self, heading: str, block: str) -> None:
        """Check what a step did."""
        if heading == "Install":
            self._start_services()
        elif heading == "Database and settings":
            print("(webhooks of a public server may not lead to loopback, where this run's receiver is)")
            self.debian.run("echo \"WEBHOOK_ALLOWED_NETWORKS='127.0.0.0/8'\" | sudo tee -a /etc/calapp.env")
        elif heading == "Start":
            self._check_units()
        elif heading == "First user and first webhook":
            self.debian.write("srv/probe.py", (HERE / "probe.py").read_text())
            self.debian.begin("python3", "/srv/probe.py", "receive", RECEIVED)
            self.kept.append(self._book_and_wait(7))
        elif "systemctl start" in block:
            self._wait_healthy()
            known = self._bookings()
            expect("what was booked before the backup is there", set(self.kept) <= known)
            expect("what was booked after the backup is not", self.lost not in known)
            self.kept.append(self._book_and_wait(21))
        elif heading == "Upgrade" and "systemctl reload" in block:
            self._wait_healthy()
            self.kept.append(self._book_and_wait(28))
            expect(f"all {len(self.kept)} bookings are there", set(self.kept) <= self._bookings())
            self._check_units()
            code = self.debian.as_root("sh", "-c", "cd /opt/calapp && git describe --always", output=True)
            expect(f"the code is {code.strip()}", code)

    def _start_services(self) -> None:
        print("(Debian starts these when they are installed, and at each start of the machine)")
        if self.debian.systemd:
            self.debian.boot()
            return
        for name in SERVICES:
            self.debian.as_root(f"/etc/init.d/{name}", "start")

    def _check_units(self) -> None:
        for unit in UNITS:
            self.debian.as_root("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}")
            words = ("systemd-analyze", "security", "--offline=true", f"/etc/systemd/system/{unit}")
            said = self.debian.as_root(*words, output=True)
            level = re.search(r"Overall exposure level for \S+ ([\d.]+)", said)
            expect(f"{unit} is valid, and its exposure {level and level[1]}", level)
            expect(f"that is at most {MOST_EXPOSED}", level and float(level[1]) <= MOST_EXPOSED)

    def _book(self, days: int) -> str:
        (name,) = self._sql("SELECT slug FROM event_type ORDER BY id LIMIT 1")
        words = ("python3", "/srv/probe.py", "book", str(days), name)
        return self.debian.as_root(*words, output=True).strip()

    def _book_and_wait(self, days: int) -> str:
        uid = self._book(days)
        file = self.debian.folder / RECEIVED.lstrip("/")
        wait_for(f"the booking {uid} reached the receiver", lambda: file.exists() and uid in file.read_text())
        return uid

    def _bookings(self) -> set[str]:
        return set(self._sql("SELECT uid FROM booking"))

    def _sql(self, query: str) -> list[str]:
        words = ("runuser", "-u", "calapp", "--", "psql", "-tA", "-c", query)
        return self.debian.as_root(*words, output=True).split()

    def _wait_healthy(self) -> None:
        script = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:5000/healthz').read().decode())"
        )

        def healthy() -> bool:
            words = self.debian.inside("python3", "-c", script)
            done = subprocess.run(words, check=False, capture_output=True, text=True)
            return '"status":"ok"' in done.stdout.replace(" ", "")

        wait_for("/healthz says ok", healthy)


def expect(what: str, true: object) -> None:
    """Say that something is so, or end."""
    if not true:
        raise SystemExit(f"NOT: {what}")
    print(f"ok: {what}", flush=True)


def wait_for(what: str, true: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until something is so, and say it, or end."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.5)
    expect(what, true())
