"""Runs inside the image, with its Python: what has to be so of its user, files and processes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

COMMANDS = json.loads(os.environ.pop("CHECKED"))
ADDRESS = "http://127.0.0.1:5000"
OWN = {"Host": "cal.example.com"}
PAGES = ("/login", "/signup", "/integrations/guide", "/v2/docs", "/v2/openapi.json", "/embed/embed.js")


def expect(what: str, true: object) -> None:
    """Say that something is so, or end."""
    print(f"{'ok' if true else 'NOT'}: {what}", flush=True)
    if not true:
        sys.exit(1)


def can_write(path: str) -> bool:
    """Return whether a file can be made there."""
    try:
        Path(path).touch()
    except OSError:
        return False
    return True


def status(path: str) -> int:
    """Return the status of a page, 0 without an answer."""
    with suppress(urllib.error.URLError, ConnectionError):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(ADDRESS + path, headers=OWN), timeout=30
            ) as page:
                return int(page.status)
        except urllib.error.HTTPError as error:
            return error.code
    return 0


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal, and return the status with which the process ends."""
    process.send_signal(number)
    return process.wait(60)


def main() -> None:
    """Check all of it."""
    expect(f"it runs as {os.getuid()}, not as root", os.getuid())
    capabilities = [line for line in Path("/proc/self/status").read_text().split("\n") if "CapEff" in line]
    expect("and without a capability", int(capabilities[0].split()[1], 16) == 0)
    expect("its files cannot be written", not any(map(can_write, ("/opt/calapp/x", "/etc/x", "/usr/x"))))
    expect("the data folder can be", can_write(f"{os.environ['CALAPP_DATA_DIR']}/x"))
    migrated = subprocess.run(["flask", "db", "upgrade"], check=False, capture_output=True, text=True)
    expect("flask db upgrade makes the tables", migrated.returncode == 0)
    worker = subprocess.Popen(["flask", "worker"])
    web = subprocess.Popen(COMMANDS["web"])
    until = time.monotonic() + 60
    while subprocess.run(COMMANDS["health"], check=False, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > until:
            break
        time.sleep(0.5)
    expect("the image finds itself healthy within a minute", time.monotonic() < until)
    found = {path: status(path) for path in PAGES}
    expect(f"its pages are there: {found}", set(found.values()) <= {200, 302})
    web.send_signal(signal.SIGHUP)
    time.sleep(10)
    expect("a reload leaves it serving", status("/login") == 200)
    expect("the worker runs", worker.poll() is None)
    statuses = [ended(one, signal.SIGTERM) for one in (web, worker)]
    expect(f"both end in order when they are asked to: {statuses}", statuses == [0, 0])


if __name__ == "__main__":
    main()
