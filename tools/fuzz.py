"""Let a generator send the API what its document allows and forbids: `make fuzz`, or bounded in the tests.

schemathesis reads /v2/openapi.json from a running server and makes requests of it, good and bad, single and
in chains that use what earlier answers brought. Nothing may give a 5xx, and no answer may be one that the
document does not have.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from calapp import config
from calapp.accounts.service import create_api_key, find_user
from calapp.clock import now
from calapp.db import db, transaction
from calapp.launcher import prepare_database
from tests.running import MANY_BOOKINGS, ROOT, free_port

PATIENCE = 60.0  # seconds; the machine may be busy
# Left out is what no client may rely on: that whatever the models allow is taken (a time may be gone, a slug
# be used), and that whatever they forbid is refused (a null may stand for nothing).
CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "ignored_auth",
        "use_after_free",
    )
)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the demo host's API, without a worker: nothing is sent anywhere. Gives address and key."""
    port = free_port()
    chosen = config.prepare({}, data_dir=folder, port=port, rate_limits="off")
    prepare_database(chosen)
    own = {"CALAPP_DATA_DIR": str(folder), "PORT": str(port), "RATE_LIMITS": "off"}
    environment = {**os.environ, **MANY_BOOKINGS, **own}
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "app:create_app()"], cwd=ROOT, env=environment
    ) as server:
        try:
            wait_for(chosen.base_url)
            yield chosen.base_url, make_key()
        finally:
            server.terminate()


def wait_for(address: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            requests.get(f"{address}/v2/openapi.json", timeout=5).raise_for_status()
        except (requests.ConnectionError, requests.Timeout):
            assert time.monotonic() < until, "The server did not start."
            time.sleep(0.1)
        else:
            return


def make_key() -> str:
    from app import create_app

    with create_app(config.settings()).app_context():
        with transaction() as session:
            _, plain = create_api_key(session, find_user(session, "rick"), "fuzz", ["read", "write"])
        db.engine.dispose()
    return plain


def fuzz(folder: Path, address: str, key: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against a server; its exit code is 0 when nothing was found."""
    file = folder / "schemathesis.toml"
    file.write_text(configuration(what_is_there(address, key)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(file), "--no-color"]
    own = ["--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--generation-database", "none"]
    whole = [*command, "run", f"{address}/v2/openapi.json", *own, *options]
    return subprocess.run(whole, cwd=folder, text=True, capture_output=True, check=False)


def what_is_there(address: str, key: str) -> dict[str, list[object]]:
    """Make bookings and webhooks; return values that lead to something, by the parameters that take them."""
    client = requests.Session()
    client.headers["Authorization"] = f"Bearer {key}"

    def asked(method: str, path: str, **more: object) -> Any:
        answer = client.request(method, f"{address}/v2/{path}", timeout=PATIENCE, **more)
        answer.raise_for_status()
        return answer.json()["data"]

    event_types = [one["id"] for one in asked("GET", "event-types")]
    week = {"start": f"{now():%Y-%m-%d}", "end": f"{now() + timedelta(days=7):%Y-%m-%d}"}
    uids = []
    for event_type in event_types * 4:
        days = asked("GET", "slots", params={"eventTypeId": event_type, **week})
        free = [slot["start"] for day in days.values() for slot in day]
        wish = {"eventTypeId": event_type, "start": free[len(uids)], "attendee": ADA}
        uids.append(asked("POST", "bookings", json=wish)["uid"])
    webhooks = [
        asked(
            "POST", path, json={"subscriberUrl": "https://example.com/hook", "triggers": ["BOOKING_CREATED"]}
        )["id"]
        for path in ("webhooks", f"event-types/{event_types[0]}/webhooks")
    ]
    return {
        "eventTypeId": event_types,
        "uid": uids,
        "webhookId": webhooks,
        "start": free[10:],
        "timeZone": ["Europe/Berlin", "America/New_York"],
    }


ADA = {"name": "Ada", "email": "ada@example.com", "timeZone": "Europe/London"}
PLACES = {
    "eventTypeId": ("path.eventTypeId", "query.eventTypeId", "body.eventTypeId"),
    "uid": ("path.uid", "query.bookingUidToReschedule"),
    "webhookId": ("path.webhookId",),
    "start": ("body.start", "query.start", "query.end", "query.afterStart"),
    "timeZone": ("body.attendee.timeZone", "query.timeZone"),
}


def configuration(values: dict[str, list[object]]) -> str:
    """Return schemathesis' configuration: values that lead to something are used in most requests."""
    lines = []
    for name, known in values.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(known)}"]
    lines.append("[parameters]")
    for name in values:
        lines += [f'"{place}" = {{ dictionary = "{name}", probability = 0.7 }}' for place in PLACES[name]]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=300, help="How long (default 300).")
    parser.add_argument("--seed", type=int, help="The seed of an earlier run.")
    chosen = parser.parse_args()
    options = ["--max-time", str(chosen.seconds), "--continue-on-failure"]
    options += ["--seed", str(chosen.seed)] if chosen.seed is not None else []
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (address, key):
        done = fuzz(Path(folder), address, key, *options)
    print(done.stdout, done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
