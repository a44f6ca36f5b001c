"""What clients of Cal.com send that are in no registry; `make clients` runs the others."""

from collections.abc import Callable
from typing import Any

import pytest

from calapp.event_types.models import EventType
from tests.api.conftest import Client
from tests.running import ROOT
from tools.clients import calls
from tools.clients.installing import Clients

pytestmark = pytest.mark.usefixtures("monday")

WEEK = ("2027-01-05T00:00:00+00:00", "2027-01-12T00:00:00+00:00")
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(rick_api: Client) -> Call:
    """Rick's program, as the clients send."""

    def send(method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        more = {"json": body} if body is not None else {}
        answer = rick_api.send(method, path, headers=headers, **more)
        return answer.status_code, answer.get_json()

    return send


def test_the_tools_of_cal_coms_mcp_server_work(call: Call, quick_chat: EventType) -> None:
    calls.check_mcp_server(call, quick_chat.id, *WEEK)


def test_livekits_front_desk_books(call: Call) -> None:
    booking = calls.livekit(call, *WEEK)
    assert booking["attendees"][0]["email"] == "ada@example.com"


def test_activepieces_switches_its_trigger_on_and_off(call: Call) -> None:
    webhook = calls.activepieces_trigger(call, "https://hooks.example/pieces")
    assert call("GET", f"/v2/webhooks/{webhook['id']}")[0] == 200
    calls.activepieces_trigger_off(call, webhook)
    assert call("GET", f"/v2/webhooks/{webhook['id']}")[0] == 404


def test_the_actions_of_activepieces_work(call: Call, quick_chat: EventType) -> None:
    calls.check_activepieces_actions(call, quick_chat.id, *WEEK)


def test_the_guide_names_the_versions_that_are_run() -> None:
    guide = (ROOT / "docs" / "clients.md").read_text()
    versions = Clients(ROOT).versions()
    assert len(versions) >= 10
    for client, version in versions.items():
        assert version in guide, f"docs/clients.md has another version of {client} than {version}."
