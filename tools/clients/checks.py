"""One function for each client: it lets the client meet Calapp, and returns what was seen."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tools.clients import calls
from tools.clients.installing import HERE, Clients
from tools.clients.stage import ADA, SECRET, Stage

PROGRAMS = HERE / "programs"
LONGEST = 300  # seconds that a program may take


@dataclass(frozen=True)
class Meeting:
    """A client's name, where it comes from (`npm`, `PyPI`, or nothing), and what lets it meet Calapp."""

    client: str
    registry: str
    run: Callable[[Clients, Stage], str]


def run(command: list[str | Path], given: object = None, folder: Path | None = None, **more: str) -> str:
    """Run a program with JSON on its standard input; return what it prints; raise AssertionError."""
    done = subprocess.run(
        [str(word) for word in command],
        input=json.dumps(given),
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}".strip()[-3000:]
    return done.stdout.strip()


def delivery(stage: Stage) -> dict[str, Any]:
    """Return a delivery with its secret, as a receiver has it."""
    came = stage.delivered(stage.book()["uid"])
    return {"secret": SECRET, "body": came.body.decode(), "headers": came.headers}


def weeks() -> tuple[str, str]:
    """Return tomorrow and the day two weeks later."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return tomorrow.isoformat(), (tomorrow + timedelta(days=14)).isoformat()


def signatures_in_python(clients: Clients, stage: Stage) -> str:
    return run([clients.python, PROGRAMS / "verify.py"], delivery(stage))


def signatures_in_javascript(clients: Clients, stage: Stage) -> str:
    program = clients.node_modules.parent / "verify.mjs"
    program.write_text((PROGRAMS / "verify.mjs").read_text())
    return run(["node", program], delivery(stage))


def agno(clients: Clients, stage: Stage) -> str:
    first, last = weeks()
    times = {"from": first, "to": last, "start": stage.free_time(), "other": stage.free_time()}
    given = {"key": stage.key, "eventTypeId": stage.event_type_id, **times}
    return run([clients.python, PROGRAMS / "agno_tools.py"], given)


def cal_mcp(clients: Clients, stage: Stage) -> str:
    """Call the tools that the server offers by default, over its standard input.

    But for updateEventType: its own check of the arguments fails before anything is sent.
    """
    program = clients.node_modules / "@calcom" / "cal-mcp" / "dist" / "index.js"
    uid = stage.book()["uid"]
    talk = {"title": "Talk", "slug": "talk-of-cal-mcp", "lengthInMinutes": 30}
    kind = str(stage.data("POST", "/v2/event-types", talk)["id"])
    wish = {"start": stage.free_time(), "eventTypeId": stage.event_type_id, "attendee": ADA}
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("getBookings", {"params": {"status": ["upcoming"], "take": 5}}),
        ("getBooking", {"params": {"bookingUid": uid}}),
        ("createBooking", {"body": wish}),
        ("rescheduleBooking", {"params": {"bookingUid": uid}, "body": {"start": stage.free_time()}}),
        ("cancelBooking", {"params": {"bookingUid": uid}, "body": {"cancellationReason": "Ill"}}),
        ("getEventTypes", {"params": {"username": "rick"}}),
        ("getEventTypeById", {"params": {"eventTypeId": kind}}),
        ("deleteEventType", {"params": {"eventTypeId": int(kind)}}),
    ]
    hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines: list[dict[str, Any]] = [
        {"id": "hello", "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
    ]
    server = subprocess.Popen(
        ["node", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CAL_API_KEY": f"Bearer {stage.key}"},
    )
    with server:
        assert server.stdin
        assert server.stdout
        try:
            for line in lines:
                server.stdin.write(json.dumps({"jsonrpc": "2.0", **line}) + "\n")
            server.stdin.flush()
            assert "cal-com" in server.stdout.readline()
            for number, (name, arguments) in enumerate(wanted):
                params = {"name": name, "arguments": arguments}
                call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
                server.stdin.write(json.dumps(call) + "\n")
                server.stdin.flush()
                answer = json.loads(server.stdout.readline())
                result = answer.get("result", answer)
                assert result.get("isError") is False, f"{name}: {result}"
                said = json.loads(result["content"][0]["text"])
                assert said["status"] == "success", f"{name}: {said}"
                if name == "getBookings":
                    assert {one["status"] for one in said["data"]} <= {"accepted", "pending"}, said
        finally:
            server.kill()
    return f"Its tools {', '.join(name for name, _ in wanted)}."


def python_client(clients: Clients, stage: Stage) -> str:
    target = clients.folder / "generated"
    generator = clients.python.with_name("openapi-python-client")
    command: list[str | Path] = [generator, "generate", "--url", f"{stage.address}/v2/openapi.json"]
    path = f"{clients.python.parent}{os.pathsep}{os.environ['PATH']}"  # it formats with the ruff beside it
    more: list[str | Path] = ["--output-path", target, "--meta", "none", "--fail-on-warning"]
    run([*command, *more], folder=clients.folder, PATH=path)
    given = {"address": stage.address, "key": stage.key, "eventTypeId": stage.event_type_id, "attendee": ADA}
    given |= {"folder": str(clients.folder), "start": stage.free_time()}
    return run([clients.python, PROGRAMS / "generated.py"], given)


def typescript(clients: Clients, stage: Stage) -> str:
    folder, programs = clients.node_modules.parent, clients.node_modules / ".bin"
    document = f"{stage.address}/v2/openapi.json"
    run([programs / "openapi-typescript", document, "-o", "api.d.ts"], folder=folder)
    (folder / "types.ts").write_text((PROGRAMS / "types.ts").read_text())
    run([programs / "tsc", "--strict", "--noEmit", "types.ts"], folder=folder)
    return "The types compile strictly; a program sends what is needed and may leave out the rest."


def linters(clients: Clients, stage: Stage) -> str:
    """Let spectral and redocly look at the document; a warning or a hint counts as a failure."""
    folder, programs = clients.node_modules.parent, clients.node_modules / ".bin"
    document = f"{stage.address}/v2/openapi.json"
    (folder / "ruleset.yaml").write_text("extends: ['spectral:oas']\n")
    strict = ["--ruleset", "ruleset.yaml", "--fail-severity", "hint"]
    run([programs / "spectral", "lint", document, *strict], folder=folder)
    run([programs / "redocly", "lint", "--extends", "recommended-strict", document], folder=folder)
    return "No error, warning or hint about the document."


def calendars(clients: Clients, stage: Stage) -> str:
    """Let vdirsyncer fetch the feed and khal list it: a booking is there, and gone when it is cancelled."""
    booking = stage.book()
    folder = clients.folder / "calendars"
    folder.mkdir()
    (folder / "vdirsyncer").write_text(
        f"""[general]
status_path = "{folder}/status/"
[pair bookings]
a = "here"
b = "feed"
collections = null
conflict_resolution = "b wins"
[storage feed]
type = "http"
url = "{stage.feed()}"
[storage here]
type = "filesystem"
path = "{folder}/events"
fileext = ".ics"
"""
    )
    (folder / "khal").write_text(
        f"[calendars]\n[[bookings]]\npath = {folder}/events\n[locale]\ntimeformat = %H:%M\n"
        "dateformat = %Y-%m-%d\nlongdateformat = %Y-%m-%d\n"
        "datetimeformat = %Y-%m-%d %H:%M\nlongdatetimeformat = %Y-%m-%d %H:%M\n"
    )
    own = {"VDIRSYNCER_CONFIG": str(folder / "vdirsyncer"), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    beside = clients.python.with_name

    def listed() -> str:
        run([beside("vdirsyncer"), "sync"], **own)
        first, last = weeks()
        command: list[str | Path] = [beside("khal"), "-c", folder / "khal", "list", first, last]
        return run(command, **own)

    run([beside("vdirsyncer"), "discover"], **own)
    title = booking["title"]
    before = listed().count(title)
    assert before, f"khal does not list {title}."
    stage.data("POST", f"/v2/bookings/{booking['uid']}/cancel", {})
    assert listed().count(title) == before - 1, "khal still lists what was cancelled."
    return "vdirsyncer fetches the feed, khal lists its bookings; one that is cancelled goes."


def n8n(clients: Clients, stage: Stage) -> str:
    """Activate a trigger of everything and one of an event type, receive, and deactivate."""
    for options in ({}, {"eventTypeId": stage.event_type_id}):
        path = f"/n8n-{len(options)}"
        given = {
            "package": str(clients.n8n),
            "address": stage.address,
            "key": stage.key,
            "events": ["BOOKING_CREATED", "MEETING_ENDED"],
            "options": options,
            "webhookUrl": stage.receiver.url(path),
            "kept": {},
        }

        def steps(*names: str, given: dict[str, Any] = given, **more: object) -> dict[str, Any]:
            said = json.loads(run(["node", PROGRAMS / "n8n_trigger.cjs"], {**given, "steps": names, **more}))
            given["kept"] = said["kept"]
            results: dict[str, Any] = said["results"]
            return results

        found = steps("options", "exists", "create")
        assert stage.event_type_id in [one["value"] for one in found["options"]]
        assert (found["exists"], found["create"]) == (False, True), found
        assert steps("exists") == {"exists": True}
        came = stage.delivered(stage.book()["uid"], path=path)
        received = {"body": came.body.decode(), "headers": came.headers}
        taken = steps("webhook", received=received)["webhook"]
        ((item,),) = taken["workflowData"]
        assert item["json"]["metadata"] == {"user_id": "123"}, item
        forged = steps("webhook", received={**received, "body": received["body"] + " "})["webhook"]
        assert forged["status"] == 401, forged
        assert steps("delete", "exists") == {"delete": True, "exists": False}
    return "Lists event types; activates, finds itself, receives and checks the signature, deactivates."


def livekit(_clients: Clients, stage: Stage) -> str:
    first, last = (f"{day}T00:00:00+00:00" for day in weeks())
    calls.livekit(stage.call, first, last)
    return "Makes its event type once, lists times, books; a taken time is said as it expects."


def activepieces(_clients: Clients, stage: Stage) -> str:
    webhook = calls.activepieces_trigger(stage.call, stage.receiver.url("/pieces"))
    body = json.loads(stage.delivered(stage.book()["uid"], path="/pieces").body)
    assert body["payload"]["metadata"] == {"user_id": "123"}
    calls.activepieces_trigger_off(stage.call, webhook)
    first, last = (f"{day}T00:00:00Z" for day in weeks())
    calls.check_activepieces_actions(stage.call, stage.event_type_id, first, last)
    return "Trigger on, received, off; its actions, with the versions of the API that they name."


def mcp_server(_clients: Clients, stage: Stage) -> str:
    first, last = (f"{day}T00:00:00Z" for day in weeks())
    calls.check_mcp_server(stage.call, stage.event_type_id, first, last)
    return "Its tools for event types, times, reservations, bookings, attendees, guests and schedules."


MEETINGS = (
    Meeting("standardwebhooks and svix (Python)", "PyPI", signatures_in_python),
    Meeting("standardwebhooks and svix (JavaScript)", "npm", signatures_in_javascript),
    Meeting("agno's CalComTools", "PyPI", agno),
    Meeting("@calcom/cal-mcp", "npm", cal_mcp),
    Meeting("openapi-python-client", "PyPI", python_client),
    Meeting("openapi-typescript and tsc", "npm", typescript),
    Meeting("spectral and redocly", "npm", linters),
    Meeting("vdirsyncer and khal", "PyPI", calendars),
    Meeting("n8n's Cal.com trigger", "npm", n8n),
    Meeting("Cal.com's MCP server (its calls)", "", mcp_server),
    Meeting("LiveKit's front desk (its calls)", "", livekit),
    Meeting("Activepieces' Cal.com piece (its calls)", "", activepieces),
)
