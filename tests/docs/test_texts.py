"""What the documents say of settings, files and links is so."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from calapp import __version__
from calapp.config import Settings, variable
from calapp.integrations.guide import slug
from tools.docs import texts
from tools.docs.texts import README, ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# A file or folder of the project, by its first part: `calapp/config.py`, `tests/faults`.
PATH = re.compile(r"`((?:calapp|tests|templates|static|docs)/[\w./-]+|\w+\.(?:py|toml|md))`")
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def without_code(text: str) -> str:
    return texts.BLOCK.sub("", text)


def test_nothing_generated_is_stale() -> None:
    assert not texts.stale(), "Update it with: python -m tools.docs --texts"


def test_the_settings_table_has_every_setting() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| .*? \| (.+?) \| (.+?) \|$", README.read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == [variable(item.name) for item in fields(Settings)]
    assert all(allowed and meaning.endswith(".") for _, allowed, meaning in rows)


def test_the_first_pages_sample_is_signed_by_its_secret() -> None:
    sample = re.search(r"<!-- request: .*?<!-- /request -->", README.read_text(), re.DOTALL)[0]
    assert re.search(r"^webhook-id: evt_[0-9a-f]{24}$", sample, re.MULTILINE)
    assert '"metadata": {"user_id": "123"}' in sample


@each_document
def test_every_link_leads_to_something(document: Path) -> None:
    for target in LINK.findall(without_code(document.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), f"{document.name} links to {target}, which is not there."
        if anchor:
            assert anchor in {slug(heading) for heading in HEADING.findall(without_code(file.read_text()))}


@each_document
def test_every_file_that_is_named_is_there(document: Path) -> None:
    for name in PATH.findall(without_code(document.read_text())):
        beside = [ROOT / name, document.parent / name, *ROOT.glob(f"*/{name}"), *ROOT.glob(f"tests/*/{name}")]
        assert any(path.exists() for path in beside), f"{document.name} names {name}, which is not there."


def test_pictures_are_small_and_all_shown() -> None:
    pictures = list((ROOT / "docs" / "pictures").glob("*.png"))
    shown = "".join(document.read_text() for document in DOCUMENTS)
    assert pictures
    assert all(picture.stat().st_size < 150_000 and picture.name in shown for picture in pictures)


def test_the_version_is_the_latest_release_in_the_list_of_changes() -> None:
    assert re.findall(r"^## (\d\S*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == __version__
