"""The parts of the documents that are written from the running code."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import create_app
from calapp import config
from calapp.accounts.models import User
from calapp.config import Settings, variable
from calapp.db import db
from calapp.integrations.guide import guide_text, sample_request
from calapp.integrations.samples import sample_life

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "webhooks.md"
AT = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
HOST = {
    "id": 1,
    "name": "Rick",
    "email": "rick@example.com",
    "username": "rick",
    "time_zone": "Europe/Berlin",
}
BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def texts() -> dict[Path, str]:
    """Return every generated document as it should be."""
    parts = {"settings": settings_table(), "request": f"```http\n{request()}\n```"}
    return {README: with_parts(README.read_text(), parts), GUIDE: guide()}


def stale() -> list[str]:
    """Return the names of the documents that are not as they should be."""
    return [path.name for path, text in texts().items() if not path.exists() or path.read_text() != text]


def write() -> None:
    """Write every generated document."""
    for path, text in texts().items():
        path.write_text(text)


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """Put the parts between their markers: `<!-- name: … -->` and `<!-- /name -->`."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        assert pattern.search(text), f"There are no markers of {name}."
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
    return text


def settings_table() -> str:
    """Return the table of the settings."""
    rows = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for item in fields(Settings):
        meaning = item.metadata["meaning"].replace("|", "\\|")
        allowed = item.metadata["allowed"]
        rows.append(f"| `{variable(item.name)}` | {default(item.default)} | {allowed} | {meaning} |")
    return "\n".join(rows)


def default(value: Any) -> str:
    """Return a setting's default as one would write it."""
    if isinstance(value, tuple):
        value = ",".join(str(one) for one in value)
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`" if str(value) else ""


def guide() -> str:
    """Return the webhook guide."""
    host, chosen = User(**HOST), _settings()
    app = create_app(chosen)
    with app.test_request_context():
        text = guide_text(host, chosen, AT, own=False)
        db.engine.dispose()
    return text


def request() -> str:
    """Return a request as a receiver gets it."""
    return sample_request(sample_life(User(**HOST), "https://cal.example.com", AT)[0], AT)


def _settings() -> Settings:
    folder = Path(tempfile.mkdtemp(prefix="calapp-docs"))
    return config.prepare({}, data_dir=folder, base_url="https://cal.example.com")


def blocks(text: str) -> list[re.Match[str]]:
    """Return the fenced blocks of a document."""
    return list(BLOCK.finditer(text))


def snippet(name: str) -> str:
    """Return the block of the webhook guide that has this name."""
    [found] = [block["text"] for block in blocks(GUIDE.read_text()) if block["name"] == name]
    return found
