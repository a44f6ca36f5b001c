"""Templates: what is checked is what is rendered, in time and size that the text bounds."""

import time
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from calapp.errors import Invalid
from calapp.webhooks import template
from calapp.webhooks.largest import LARGEST
from tests.bookings import contract

PREVIEW = "/integrations/webhooks/preview"
HTMX = {"HX-Request": "true"}

SHAPES: dict[str, Callable[[int], str]] = {
    "spaces": lambda size: "{{" + " " * (size - 2),
    "lines": lambda size: "{{" + "\n" * (size - 4) + "}}",
    "escaped tabs": lambda size: '{"a":"{{' + "\\t" * (size // 2 - 8) + '"}',
    "escaped tabs, closed": lambda size: '{"a":"{{' + "\\t" * (size // 2 - 8) + '}}"}',
    "braces": lambda size: "{" * size,
    "opened": lambda size: "{{a" * (size // 3),
    "quotes": lambda size: '"' * size,
    "escaped quotes": lambda size: '"' + '\\"' * (size // 2 - 1),
    "backslashes": lambda size: '"' + "\\" * (size - 2),
    "arrays": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "objects": lambda size: '{"a":' * (size // 6) + "1" + "}" * (size // 6),
    "numbers": lambda size: "[" + "0," * (size // 2 - 2) + "0]",
    "digits": lambda size: "[" + "1" * (size - 2) + "]",
    "dots": lambda size: "{{" + "a." * (size // 2 - 4) + "}}",
    "indexes": lambda size: "{{" + "[a]" * (size // 3 - 4) + "}}",
}


def cost(text: str) -> float:
    """Return the least CPU seconds of a few checks of a template."""
    seconds = []
    for _ in range(5):
        template._parsed_once.cache_clear()
        began = time.process_time()
        try:
            template.check(text)
            template.unknown_paths(text)
        except Invalid:
            pass
        seconds.append(time.process_time() - began)
    return min(seconds)


@pytest.mark.parametrize("shape", SHAPES)
def test_t1_ten_times_the_text_costs_at_most_twenty_times_the_time(shape: str) -> None:
    short, long = (cost(SHAPES[shape](size)) for size in (1_000, 10_000))
    assert long <= 20 * max(short, 0.0002)


def test_t1_a_preview_of_spaces_answers_at_once(rick_client: FlaskClient) -> None:
    began = time.process_time()
    rick_client.post(PREVIEW, headers=HTMX, data={"payload_template": "{{" + " " * 9_990})
    assert time.process_time() - began < 1


def test_t1_a_text_that_is_too_long_is_not_read(rick_client: FlaskClient) -> None:
    page = rick_client.post(PREVIEW, headers=HTMX, data={"payload_template": "[" * 20_000}).text
    assert "10,000 characters" in page


REFUSED = {
    '{"a":"\\ud83d {{title}}"}': "lone surrogate",
    '{"\\udc00":1}': "lone surrogate",
    "a=\ud83d": "lone surrogate",
    "a=\0": "NUL",
    "[" * 700 + "]" * 700: "nested too deeply",
    '{"a":' * 700 + "1" + "}" * 700: "nested too deeply",
    '{"a":NaN}': "NaN is not a JSON number",
    '{"a":[-Infinity]}': "-Infinity is not a JSON number",
    '{"a":1e999}': "1e999 is not a JSON number",
    '\ufeff{"a":}': "not valid JSON",
    '{"a":"' + "{{metadata}}" * 100 + '"}': "larger than 256 KB",
    "a=" + "{{metadata}}" * 2: "larger than 256 KB",
    '{"a":"' + "\\u007b{title}}" * 101 + '"}': "up to 100 variables",
}


@pytest.mark.parametrize("text", REFUSED)
def test_t3_t4_t7_what_could_not_be_sent_is_refused_in_words(text: str) -> None:
    with pytest.raises(Invalid, match=REFUSED[text]):
        template.check(text)


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u00a0", " \ufeff\n"])
def test_t5_what_an_editor_puts_before_json_does_not_make_it_a_form(mark: str) -> None:
    assert template.render(f'{mark}{{"a": "{{{{title}}}}"}}', LARGEST)[1] == template.JSON_TYPE


@pytest.mark.parametrize(
    "path", ["attendees.0.email", "attendees.[0].email", "attendees[0].email", "attendees.[0].[email]"]
)
def test_t5_an_item_of_a_list_is_found_in_each_way_of_writing(path: str) -> None:
    body, _ = template.render(f'{{"a": {{{{{path}}}}}, "b": "to {{{{ {path} }}}}"}}', LARGEST)
    email = LARGEST["payload"]["attendees"][0]["email"]
    assert body == f'{{"a": "{email}", "b": "to {email}"}}'
    assert template.unknown_paths(f"{{{{{path}}}}}") == []


def test_t5_what_only_some_events_or_links_have_is_not_unknown() -> None:
    text = (
        "{{cancellationReason}} {{metadata.order}} {{responses.size.value}} {{attendees.20.name}} {{x.[1]}}"
    )
    assert template.unknown_paths(text) == ["x.[1]"]


@pytest.mark.parametrize("text", ["{{metadata}}", "a={{metadata}}", '{"a":["{{metadata}}","{{metadata}}"]}'])
def test_t7_the_largest_metadata_fits_a_payload_of_common_size(text: str) -> None:
    template.check(text)


def test_the_largest_event_has_every_field_that_events_have() -> None:
    models = (
        contract.Former,
        contract.Cancelled,
        contract.Rejected,
        contract.NoShow,
        contract.Reminder,
        contract.Updated,
        contract.AboutWebhook,
        contract.Summary,
    )
    payload = LARGEST["payload"]
    assert set(payload) == {
        field.alias or name for model in models for name, field in model.model_fields.items()
    }
    assert set(payload["attendees"][0]) == set(contract.AttendeeOfNoShow.model_fields)
    assert set(payload["organizer"]) == set(contract.Organizer.model_fields)
