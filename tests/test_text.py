"""Text that comes in is fit for every format that it goes out in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calapp.incoming import Fields
from calapp.text import clean, clean_tree, line, whole_number

ANYTHING = st.text(st.characters())  # surrogates too


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("from Word\x0bsecond line", "from Wordsecond line"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("a\rb\x85c", "abc"),
        ("one\u2028two\u2029three", "one\ntwo\nthree"),
        ("\ud83d x \udc00", " x "),
        ("\ufffe\uffff\ufdd0\U0001ffff", ""),
        ("😀 é \u200d \u200f ﷺ", "😀 é \u200d \u200f ﷺ"),
    ],
)
def test_v3_control_characters_are_taken_out(given: str, kept: str) -> None:
    assert clean(given) == kept


@given(ANYTHING)
def test_v3_a_clean_text_has_no_character_that_a_format_forbids(text: str) -> None:
    kept = clean(text)
    assert all(unicodedata.category(one) not in {"Cc", "Cs"} or one in "\t\n" for one in kept)
    assert clean(kept) == kept
    assert len(kept.splitlines()) <= kept.count("\n") + 1  # what Python calls a line is one
    kept.encode()


@given(ANYTHING)
def test_v3_a_line_is_one_line(text: str) -> None:
    kept = line(text)
    assert len(kept.splitlines()) <= 1
    assert kept == kept.strip() == line(kept)


@pytest.mark.parametrize("turning", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_v3_a_line_turns_nothing_around(turning: str) -> None:
    assert line(f"evil{turning}fdp.exe") == "evilfdp.exe"


def test_v3_names_and_values_of_fields_are_clean_but_for_secrets() -> None:
    fields = Fields([("na\0me", "A\x07da"), ("secret", "a\x07b\0"), ("payload_template", "{}\r\n")])
    assert dict(fields) == {"name": "Ada", "secret": "a\x07b", "payload_template": "{}\r\n"}


def test_v3_a_tree_is_clean_at_every_depth() -> None:
    assert clean_tree({"a\0": ["b\x1b", {"c": "\x7fd"}], "n": 1.5}) == {"a": ["b", {"c": "d"}], "n": 1.5}


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("²", None),
        ("٣", None),
        ("-1", None),
        ("", None),
    ],
)
def test_a_whole_number_is_a_few_ascii_digits(given: str, number: int | None) -> None:
    assert whole_number(given) == number
