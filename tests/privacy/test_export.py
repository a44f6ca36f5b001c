"""A host's data to take along: all of it, nobody else's, and nothing that lets somebody in."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key
from calapp.db import transaction
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.monitoring.rows import deliveries, tries
from tests.privacy.traces import flask

SECRETS = ("whsec_", "scrypt", "session-rick", "calendar-rick", "Bearer of bad news")


@pytest.fixture
def told(app: Flask, rick: User, bob: User, quick_chat: EventType, saved: Callable[..., None]) -> None:
    saved(EventType(user_id=bob.id, title="Bob's own", slug="own", length=15))
    hook = Webhook(user_id=rick.id, subscriber_url="https://hooks.example/in", triggers=[])
    hook.headers, hook.secret = [["Authorization", "Bearer of bad news"]], "whsec_c2VjcmV0"
    saved(hook)
    tries(deliveries("delivered", 2), status=200)
    with transaction() as session:
        create_api_key(session, rick, "Laptop", ["read"])


@pytest.mark.usefixtures("told")
def test_an_export_has_every_table_of_the_host(app: Flask) -> None:
    made = json.loads(flask(app, "export-user", "rick").output)
    assert {name: len(rows) for name, rows in made.items() if rows} == {
        "user": 1,
        "event_type": 1,
        "weekly_hours": 5,
        "webhook": 1,
        "event": 2,
        "api_key": 1,
        "delivery": 2,
        "attempt": 2,
    }


@pytest.mark.usefixtures("told")
def test_an_export_has_nothing_that_lets_somebody_in(app: Flask) -> None:
    written = flask(app, "export-user", "rick").output
    assert [secret for secret in SECRETS if secret in written] == []
    assert "Bob's own" not in written


@pytest.mark.usefixtures("told")
def test_an_export_goes_into_a_file(app: Flask, tmp_path: Path) -> None:
    flask(app, "export-user", "rick", "--to", str(tmp_path / "rick.json"))
    assert json.loads((tmp_path / "rick.json").read_text())["user"][0]["username"] == "rick"


@pytest.mark.usefixtures("told")
def test_a_dry_run_counts_and_writes_nothing(app: Flask, tmp_path: Path) -> None:
    said = flask(app, "export-user", "rick", "--dry-run").output
    assert said.startswith("Would export for rick: user 1, event_type 1")


def test_an_unknown_user_is_named(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["export-user", "nobody"])
    assert (result.exit_code, "There is no user nobody." in result.output) == (1, True)
