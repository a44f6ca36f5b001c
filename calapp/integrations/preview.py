"""What a payload of one's own makes of a sample event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calapp.deliveries.words import pretty
from calapp.errors import Invalid
from calapp.webhooks import template

UNPICKABLE = ("responses", "userFieldsResponses", "customInputs")  # long, and said better by other paths


@dataclass(frozen=True)
class Preview:
    """The body and its type, or what is wrong with the template; and the paths that lead nowhere."""

    body: str = ""
    content_type: str = ""
    problem: str = ""
    unknown: list[str] = field(default_factory=list)


def preview_of(text: str, envelope: Mapping[str, Any]) -> Preview:
    """Render a template with a sample event."""
    try:
        template.check(text)
        body, content_type = template.render(text, envelope)
    except Invalid as error:
        return Preview(problem=error.message)
    shown = pretty(body) if content_type == template.JSON_TYPE else body
    return Preview(shown, content_type, "", template.unknown_paths(text))


def variables_of(envelope: Mapping[str, Any]) -> list[str]:
    """Return the paths that a person would pick from."""
    return [path for path in template.variables(envelope) if path.partition(".")[0] not in UNPICKABLE]
