"""Custom payloads: JSON or form text with `{{path.to.value}}` in it.

A template is parsed once into a tree whose text leaves are filled. The check before saving fills the same
tree with the largest booking there can be, so what is checked is what is rendered. Every step costs
time in proportion to the template, and rendering stops at the largest body.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import quote_plus

from calapp import limits
from calapp.errors import Invalid
from calapp.text import whole_number
from calapp.webhooks.largest import LARGEST, OPEN

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"

PLACEHOLDER = re.compile(r"\{\{([^{}]*+)\}\}")
# A JSON string (one that is never closed reaches to the end), a placeholder outside of one, or a bracket.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|\{\{[^{}"]*+\}\}|[\[\]{}]', re.DOTALL)
INDEX = re.compile(r"\.?\[([^\[\]]*+)\]")  # Handlebars writes attendees.[0].name, others attendees[0].name
# What editors and clipboards put around a text without showing it, such as a byte order mark.
INVISIBLE = " \t\r\n\v\f\u00a0\u200b\u200c\u200d\u2060\ufeff"

MISSING = object()


class TooLarge(Invalid):
    """The body would be larger than 256 KB."""


@dataclass(frozen=True)
class Leaf:
    """A text with variables: plain text and paths in turn, beginning with text."""

    parts: tuple[str, ...]

    @property
    def alone(self) -> bool:
        """Whether it is one variable and nothing else, which keeps its value's type."""
        return len(self.parts) == 3 and not (self.parts[0] or self.parts[2])


@dataclass(frozen=True)
class Template:
    """A template as it was parsed: a JSON tree with leaves in it, or one leaf of form text."""

    tree: Any
    is_json: bool
    paths: tuple[str, ...]  # each once, in the order of the text


def render(text: str, envelope: Mapping[str, Any], *, most: int = limits.BODY_BYTES) -> tuple[str, str]:
    """Fill a template with `{triggerEvent, createdAt, id, payload}`; return the body and its content type.

    An unknown path gives an empty text. Raises Invalid for a template that cannot be rendered,
    TooLarge for a body of more than `most` bytes.
    """
    template = parsed(text)
    filling = _Filling(flat(envelope), most, encode=not template.is_json)
    if template.is_json:
        body = json.dumps(filling.tree(template.tree), ensure_ascii=False, allow_nan=False)
    else:
        body = filling.text(template.tree)
    if len(body.encode()) > most:
        raise TooLarge
    return body, JSON_TYPE if template.is_json else FORM_TYPE


def check(text: str) -> None:
    """Raise Invalid with what is wrong when a template cannot be saved."""
    try:
        render(text, LARGEST)
    except TooLarge:
        raise TooLarge(
            "With 50 metadata entries of 500 characters, this payload would be larger than 256 KB. "
            "Please use fewer variables."
        ) from None


def unknown_paths(text: str) -> list[str]:
    """Return the paths of a template that no event has; they are sent as empty."""
    values, unknown = flat(LARGEST), []
    for path in parsed(text).paths:
        head, _, rest = path.partition(".")
        named_by_others = head in OPEN and 0 < len(rest) <= limits.TEMPLATE_PATH
        if not named_by_others and value_at(values, path) is MISSING:
            unknown.append(path)
    return unknown


def variables(envelope: Mapping[str, Any]) -> list[str]:
    """Return every path of an envelope that a template may use, in the envelope's order."""
    return list(_paths(flat(envelope), ""))


def flat(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Put the payload's fields beside triggerEvent, createdAt and id."""
    values = {key: value for key, value in envelope.items() if key != "payload"}
    return {**envelope["payload"], **values}


def _paths(value: object, prefix: str) -> Iterator[str]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        items = list(value.items())
    if isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield f"{prefix}{key}"
        yield from _paths(inner, f"{prefix}{key}.")


def parsed(text: str) -> Template:
    """Parse a template; raise Invalid for one that no event can be rendered with."""
    if len(text) > limits.TEMPLATE_CHARACTERS:
        raise Invalid(f"The payload can have up to {limits.TEMPLATE_CHARACTERS:,} characters.")
    found = _parsed_once(text)
    if isinstance(found, str):
        raise Invalid(found)
    return found


@lru_cache(maxsize=500)  # an event's templates are rendered while the writer is held: so each is parsed once
def _parsed_once(text: str) -> Template | str:
    """Return a template as it was parsed, or what is wrong with it."""
    paths: list[str] = []
    try:
        _check_characters(text)
        text = text.strip(INVISIBLE)
        tree = _json(text)
        is_json = tree is not MISSING
        made = _with_leaves(tree if is_json else text, paths)
    except Invalid as error:
        return error.message
    if len(paths) > limits.TEMPLATE_VARIABLES:
        return f"The payload can have up to {limits.TEMPLATE_VARIABLES} variables."
    return Template(made, is_json, tuple(dict.fromkeys(paths)))


def _check_characters(text: str) -> None:
    if "\0" in text:
        raise Invalid("The payload contains a character that cannot be sent (NUL).")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(
            "The payload contains half a character (a lone surrogate such as \\ud83d), which cannot be sent."
        ) from None


def _json(text: str) -> Any:
    """Return the JSON tree of a template, or MISSING when it is form text; raise Invalid for broken JSON."""
    meant_as_json = text[:1] in {"{", "["} and not text.startswith("{{")
    depth = deepest = 0

    def quoted(match: re.Match[str]) -> str:
        nonlocal depth, deepest
        found = match[0]
        if found in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found in "]}":
            depth -= 1
        return json.dumps(found, ensure_ascii=False) if found.startswith("{{") else found

    quoted_text = TOKEN.sub(quoted, text)
    if deepest > limits.TEMPLATE_DEPTH:
        if text[:1] in {"{", "["}:
            raise Invalid(f"This JSON is nested too deeply. The limit is {limits.TEMPLATE_DEPTH} levels.")
        return MISSING
    try:
        return _loaded(quoted_text)
    except ValueError as error:
        if meant_as_json:
            raise Invalid(f"This is not valid JSON: {error}.") from None
        return MISSING


def _loaded(text: str) -> Any:
    """Return a JSON tree; raise ValueError that says why it is none, Invalid for numbers JSON lacks."""
    beyond: list[str] = []

    def number(digits: str) -> float:
        found = float(digits)  # reads NaN and Infinity, too
        if not isfinite(found):
            beyond.append(digits)
        return found

    try:
        tree = json.loads(text, parse_float=number, parse_constant=number)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, {error.msg[:1].lower()}{error.msg[1:]}") from None
    except ValueError:
        raise ValueError("a number is too long") from None
    if beyond:
        raise Invalid(f"This is not valid JSON: {beyond[0][:20]} is not a JSON number.")
    return tree


def _with_leaves(tree: Any, paths: list[str]) -> Any:
    """Return a tree whose texts with variables are leaves; adds their paths to `paths`."""
    if isinstance(tree, dict):
        for key in tree:
            _check_characters(key)
        return {key: _with_leaves(value, paths) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_leaves(value, paths) for value in tree]
    if not isinstance(tree, str):
        return tree
    _check_characters(tree.replace("\0", ""))  # JSON can write a NUL down
    parts = PLACEHOLDER.split(tree)
    if len(parts) == 1:
        return tree
    parts[1::2] = (path.strip() for path in parts[1::2])
    paths.extend(parts[1::2])
    return Leaf(tuple(parts))


class _Filling:
    """The values of one event put into a tree, until the body is too large."""

    def __init__(self, values: Mapping[str, Any], most: int, *, encode: bool) -> None:
        self.values, self.left, self.encode = values, most, encode
        self.texts: dict[str, str] = {}

    def tree(self, tree: Any) -> Any:
        """Return a JSON tree with its leaves filled."""
        if isinstance(tree, dict):
            return {key: self.tree(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.tree(value) for value in tree]
        if not isinstance(tree, Leaf):
            return tree
        if not tree.alone:
            return self.text(tree)
        self._spend(self._written(tree.parts[1]))
        value = value_at(self.values, tree.parts[1])
        return "" if value is MISSING else value

    def text(self, leaf: str | Leaf) -> str:
        """Return a leaf as text."""
        if isinstance(leaf, str):
            return leaf
        parts = list(leaf.parts)
        for place in range(1, len(parts), 2):
            parts[place] = self._written(parts[place])
            self._spend(parts[place])
        return "".join(parts)

    def _written(self, path: str) -> str:
        """Return a path's value as text, encoded for a form where it is one; each path is written once."""
        if path not in self.texts:
            text = _text(value_at(self.values, path))
            self.texts[path] = quote_plus(text) if self.encode else text
        return self.texts[path]

    def _spend(self, text: str) -> None:
        self.left -= len(text)
        if self.left < 0:
            raise TooLarge


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """Return what a path leads to, or MISSING."""
    if len(path) > limits.TEMPLATE_PATH:
        return MISSING
    found = _walked(values, path)
    if found is MISSING and "[" in path:
        return _walked(values, INDEX.sub(r".\1", path).lstrip("."))
    return found


def _walked(values: Any, path: str) -> Any:
    """Walk a path; a metadata key may have dots itself, so the longest key that fits goes first."""
    if isinstance(values, Mapping):
        if path in values:
            return values[path]
        cuts = [index for index, letter in enumerate(path) if letter == "."]
        for cut in reversed(cuts):
            if path[:cut] in values:
                return _walked(values[path[:cut]], path[cut + 1 :])
        return MISSING
    head, _, rest = path.partition(".")
    at = whole_number(head)
    if isinstance(values, list) and at is not None and at < len(values):
        item = values[at]
        return _walked(item, rest) if rest else item
    return MISSING


def _text(value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
