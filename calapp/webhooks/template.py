"""Custom payloads: JSON or form text with `{{path.to.value}}` in it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from calapp.errors import Invalid

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_TEMPLATE = 10_000  # characters
MAX_PLACEHOLDERS = 100

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
# A JSON string, or a placeholder outside of one: the first alternative keeps the second from looking inside.
BARE = re.compile(r'"(?:[^"\\]|\\.)*"|\{\{\s*[^{}"]*?\s*\}\}')

MISSING = object()


def render(template: str, envelope: Mapping[str, Any]) -> tuple[str, str]:
    """Fill a template with `{triggerEvent, createdAt, id, payload}`; return the body and its content type.

    A path that leads nowhere gives an empty text. Raises Invalid for a template that cannot be read.
    """
    values = flat(envelope)
    tree = _parsed(template)
    if tree is MISSING:
        body = PLACEHOLDER.sub(lambda match: quote_plus(_text(_value(values, match[1]))), template)
        return body, FORM_TYPE
    return json.dumps(_filled(tree, values), ensure_ascii=False), JSON_TYPE


def check(template: str) -> None:
    """Raise Invalid with what is wrong when a template cannot be saved."""
    if len(template) > MAX_TEMPLATE:
        raise Invalid(f"Please keep the payload within {MAX_TEMPLATE:,} characters.")
    if len(PLACEHOLDER.findall(template)) > MAX_PLACEHOLDERS:
        raise Invalid(f"Please use at most {MAX_PLACEHOLDERS} variables.")
    _parsed(template)


def unknown_paths(template: str, envelope: Mapping[str, Any]) -> list[str]:
    """Return the paths of a template that lead nowhere in this envelope; they are sent as empty."""
    values = flat(envelope)
    paths = dict.fromkeys(PLACEHOLDER.findall(template))
    return [path for path in paths if _value(values, path) is MISSING]


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


def _parsed(template: str) -> Any:
    """Return the JSON tree of a template, or MISSING when it is form text."""
    quoted = BARE.sub(lambda match: match[0] if match[0][0] == '"' else f'"{match[0]}"', template)
    try:
        return json.loads(quoted)
    except RecursionError:
        raise Invalid("This JSON is nested too deeply.") from None
    except ValueError as error:
        if template.lstrip()[:1] in {"{", "["} and not template.lstrip().startswith("{{"):
            raise Invalid(f"This is not valid JSON: {_place(error)}.") from None
        return MISSING


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, {error.msg[:1].lower()}{error.msg[1:]}"
    return "a number is too long"


def _filled(tree: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, values) for value in tree]
    if not isinstance(tree, str):
        return tree
    alone = PLACEHOLDER.fullmatch(tree)
    if alone:
        value = _value(values, alone[1])
        return "" if value is MISSING else value
    return PLACEHOLDER.sub(lambda match: _text(_value(values, match[1])), tree)


def _value(values: Any, path: str) -> Any:
    """Walk a path; a metadata key may have dots itself, so the longest key that fits goes first."""
    if isinstance(values, Mapping):
        if path in values:
            return values[path]
        cuts = [index for index, letter in enumerate(path) if letter == "."]
        for cut in reversed(cuts):
            if path[:cut] in values:
                return _value(values[path[:cut]], path[cut + 1 :])
        return MISSING
    head, _, rest = path.partition(".")
    if isinstance(values, list) and head.isascii() and head.isdigit() and int(head[:6]) < len(values):
        item = values[int(head[:6])]
        return _value(item, rest) if rest else item
    return MISSING


def _text(value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
