"""Phrases that were replaced by better ones stay out of what people read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.docs.texts import ROOT

# Only phrases that are never plain English: each was once on a page, in an email, an error or a document.
PHRASES = (
    "at most 200 waiting at a time",
    "at most so many",
    "behind an earlier event of this booking",
    "behind this place",
    "broke the connection off",
    "by hand",
    "e-mail",
    "free any more",
    "free before",
    "has half of a character",
    "in another browser",
    "let go",
    "look, move or cancel",
    "most bookings a day",
    "nudge",
    "own header",
    "own headers",
    "parcel",
    "please give",
    "present password",
    "quicker than people type",
    "receiver built in",
    "said besides",
    "say whether",
    "speaks only old versions",
    "stands already in this scope",
    "stands twice",
    "the most that one host may have",
    "the most there may be",
    "the server takes",
    "they stand in the log",
    "this field is needed",
    "to be left alone until",
    "tries · by hand",
    "webhook wanted it",
    "what is marked",
    "what the booking link said",
    "what your webhooks send it",
)
TEXTS = (
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "templates").rglob("*.*"),
    ROOT / "static" / "app.js",
    *(ROOT / "calapp").rglob("*.py"),
)


def found(path: Path, phrase: str) -> Iterator[str]:
    """Yield where a text has a phrase; a line break counts as a space, names of files do not count."""
    text = path.read_text().replace("by_hand", "")
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    pattern = re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE)
    for match in pattern.finditer(text):
        yield f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_text_has_a_phrase_that_was_replaced(phrase: str) -> None:
    places = [place for path in sorted(TEXTS) for place in found(path, phrase)]
    assert not places, f"“{phrase}” has a better wording, see the pages: {', '.join(places)}"
