"""The API about the host whose key is used, and the time zones that there are."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from calapp.accounts.guards import OPEN, READ, WRITE, current_host
from calapp.accounts.models import User
from calapp.accounts.schemas import Name
from calapp.accounts.service import lock_user, schedule_choosers
from calapp.db import transaction
from calapp.errors import NotSupported
from calapp.local_time import zone_names
from calapp.rest import unsupported
from calapp.rest.routes import Api
from calapp.rest.schemas import Id, PatchSchema, RequestSchema, ResponseSchema, known_zone_name

blueprint = Api("accounts_api", tag="Me")

EMAIL = "Change it in Settings, where the new address is confirmed."


class Me(ResponseSchema):
    """The host whose key is used."""

    id: int
    username: Annotated[str, Field(description="The first part of the booking links.")]
    email: str
    name: str
    time_zone: Annotated[str, Field(description="IANA time zone of the default schedule.")]
    default_schedule_id: Annotated[int | None, Field(description="See /v2/schedules.")]
    time_format: Literal[24] = 24
    week_start: Literal["Monday"] = "Monday"
    locale: Literal["en"] = "en"
    avatar_url: None = None
    bio: None = None
    organization_id: None = None


class MePatch(PatchSchema, RequestSchema):
    """Changes to a host. Omitted fields keep their value."""

    unsupported = unsupported.PROFILE

    name: Name = ""
    email: Annotated[str, Field(description=f"Only as it is. {EMAIL}")] = ""
    time_zone: Annotated[str, AfterValidator(known_zone_name)] = ""
    default_schedule_id: Id | None = None


class TimeZone(ResponseSchema):
    """A time zone."""

    city: Annotated[str, Field(examples=["Berlin"])]
    timezone: Annotated[str, Field(examples=["Europe/Berlin"])]


@blueprint.operation("GET", "/v2/me", access=READ, response=Me)
def me() -> Me:
    """Show the host that the API key belongs to."""
    return _shown(current_host())


@blueprint.operation("PATCH", "/v2/me", access=WRITE, response=Me, body=MePatch)
def update_me(body: MePatch) -> Me:
    """Update the host that the API key belongs to. Omitted fields keep their value."""
    host = current_host()
    if body.email and body.email.strip().lower() != host.email.lower():
        raise NotSupported(f"email: {EMAIL}", email=EMAIL)
    with transaction() as session:
        host = lock_user(session, host.id)
        if body.default_schedule_id is not None:
            for choose in schedule_choosers:
                choose(session, host, body.default_schedule_id)
        host.name = body.name or host.name
        host.time_zone = body.time_zone or host.time_zone
    return _shown(host)


@blueprint.operation("GET", "/v2/timezones", access=OPEN, response=list[TimeZone])
def index_time_zones() -> list[TimeZone]:
    """List all time zones."""
    cities = ((name.rpartition("/")[2].replace("_", " "), name) for name in zone_names())
    return [TimeZone(city=city, timezone=name) for city, name in cities]


def _shown(host: User) -> Me:
    kept = ("id", "username", "email", "name", "time_zone", "default_schedule_id")
    return Me(**{name: getattr(host, name) for name in kept})
