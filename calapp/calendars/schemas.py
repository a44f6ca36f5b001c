"""A calendar as forms and the API bring it, checked; and as the API shows it."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from calapp.addresses import AddressGuard, check_url
from calapp.calendars.models import WhenStale
from calapp.errors import Invalid
from calapp.rest.schemas import RequestSchema
from calapp.rest.validation import WHOLE, cleaned, from_form, said
from calapp.text import line
from calapp.urls import trimmed

MOST_HOURS = 24 * 14


class CalendarInput(RequestSchema):
    """A calendar as it is to be saved; an empty address keeps the saved one, an empty name is its host."""

    address: Annotated[str, Field(max_length=2000)] = ""
    name: Annotated[
        str,
        Field(max_length=100),
        cleaned(line),
        said("Please keep the name within 100 characters.", "string_too_long"),
    ] = ""
    blocks: bool = True
    when_stale: Annotated[WhenStale, said("Please choose one of the two.")] = WhenStale.KEEP
    stale_after: Annotated[
        int,
        Field(ge=1, le=MOST_HOURS),
        WHOLE,
        said(f"Please enter a number of hours from 1 to {MOST_HOURS}."),
    ] = 24


def checked(form: Mapping[str, str], guard: AddressGuard, *, saved: bool) -> CalendarInput:
    """Return what a form says; raise Invalid naming each bad field. A saved address may stay."""
    problems: dict[str, object] = {}
    data = {name: form.get(name, "") for name in ("name", "when_stale", "stale_after")}
    try:
        wanted = from_form(CalendarInput, data)
    except Invalid as error:
        problems |= error.details
    address = trimmed(form.get("address", ""))
    try:
        if address or not saved:
            address = calendar_url(address, guard)
    except Invalid as error:
        problems["address"] = error.message
    if problems:
        raise Invalid("Please fix the marked fields.", **problems)
    return wanted.model_copy(update={"address": address, "blocks": form.get("blocks") == "1"})


def calendar_url(text: str, guard: AddressGuard) -> str:
    """Return the address that is requested for what was typed or copied; raise Invalid.

    webcal:// is what calendar programs call https://.
    """
    text = trimmed(text)
    if not text:
        raise Invalid("Please enter the address of the calendar.")
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in {"webcal", "webcals"}:
        text = f"https://{rest}"
    try:
        return check_url(text, guard).url
    except Invalid as error:
        words = error.message.replace("Webhooks are not sent there.", "Calendars are not read there.")
        raise Invalid(words.replace("; use a custom header instead", "")) from None
