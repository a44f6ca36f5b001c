"""The API about the host whose key is used."""

from typing import Annotated

from pydantic import Field

from calapp.accounts.guards import READ, current_host
from calapp.rest.routes import Api
from calapp.rest.schemas import ResponseSchema

blueprint = Api("accounts_api", tag="Me")


class Me(ResponseSchema):
    """The host whose key is used."""

    id: int
    username: Annotated[str, Field(description="The first part of the booking links.")]
    email: str
    name: str
    time_zone: Annotated[str, Field(description="IANA time zone of the default schedule.")]
    default_schedule_id: Annotated[int | None, Field(description="See /v2/schedules.")]


@blueprint.operation("GET", "/v2/me", access=READ, response=Me)
def me() -> Me:
    """Show the host that the API key belongs to."""
    host = current_host()
    return Me.model_validate(host, from_attributes=True)
