"""What the API asks about times and bookings, and the times that it holds, checked."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from calapp.bookings.schemas import Start, Zone
from calapp.errors import NotSupported
from calapp.rest import unsupported
from calapp.rest.schemas import (
    MOST,
    WHOLE,
    Id,
    Instant,
    Paging,
    QuerySchema,
    RequestSchema,
    invalid,
)

MAX_DAYS = 92  # of one question for slots
DATE = re.compile(r"\d{4}-\d\d-\d\d")

Order = Literal["asc", "desc"]


def _moment(value: object) -> object:
    """Read a date without a time as its beginning in UTC, as Cal.com does."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and DATE.fullmatch(value) else value


def _last_moment(value: object) -> object:
    """Read a date without a time as its end in UTC, as Cal.com does."""
    return f"{value}T23:59:59.999999Z" if isinstance(value, str) and DATE.fullmatch(value) else value


class SlotsQuery(QuerySchema):
    """The event type, given by its id or by username and slug, and the dates."""

    unsupported = unsupported.SLOTS

    event_type_id: Annotated[Id | None, Field(description="Either this, or username and eventTypeSlug.")] = (
        None
    )
    username: Annotated[str | None, Field(description="The first part of the booking link.")] = None
    event_type_slug: Annotated[str | None, Field(description="The second part of the booking link.")] = None
    start: Annotated[Instant, BeforeValidator(_moment, str), Field(description="ISO 8601, or a date in UTC.")]
    end: Annotated[
        Instant,
        BeforeValidator(_last_moment, str),
        Field(description="ISO 8601, or a date in UTC, included."),
    ]
    time_zone: Annotated[Zone, Field(description="The zone of the dates and times in the response.")] = "UTC"
    duration: Annotated[
        int | None,
        Field(description="Minutes: one of the event type's lengths. Default: its usual one."),
    ] = None
    format: Annotated[Literal["time", "range"], Field(description="range adds the end.")] = "time"
    booking_uid_to_reschedule: Annotated[
        str | None, Field(description="A booking whose time counts as available.")
    ] = None

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("start", end)
        if end < start:
            raise ValueError("The end must be after the start.")
        if end - start > timedelta(days=MAX_DAYS):
            raise ValueError(f"Please ask for at most {MAX_DAYS} days at a time.")
        return end


class ReservationRequest(RequestSchema):
    """A time to hold."""

    event_type_id: Annotated[
        Id | None, Field(description="Either this, or username and eventTypeSlug.", examples=[1])
    ] = None
    username: Annotated[str | None, Field(description="The first part of the booking link.")] = None
    event_type_slug: Annotated[str | None, Field(description="The second part of the booking link.")] = None
    start: Annotated[Start, Field(alias="slotStart")]
    length: Annotated[
        int | None,
        WHOLE,
        Field(alias="slotDuration", description="Minutes: one of the event type's lengths."),
    ] = None
    minutes: Annotated[
        int | None,
        Field(
            alias="reservationDuration",
            ge=1,
            le=60,
            description="For how many minutes: 5, unless a write key of the host asks for another number.",
        ),
        WHOLE,
    ] = None


class ReservationPatch(ReservationRequest):
    """Another time, or more minutes from now on."""

    start: Annotated[Start | None, Field(alias="slotStart")] = None  # type: ignore[assignment]


class OldSlotsQuery(QuerySchema):
    """The event type and the dates, by the names of Cal.com's version 2024-04-15."""

    unsupported = unsupported.OLD_SLOTS

    event_type_id: Annotated[Id | None, Field(description="Either this, or the host and the slug.")] = None
    event_type_slug: str | None = None
    usernames: Annotated[list[str], Field(alias="usernameList", description="The one host.")] = []
    start: Annotated[Instant, BeforeValidator(_moment, str), Field(alias="startTime")]
    end: Annotated[Instant, BeforeValidator(_last_moment, str), Field(alias="endTime")]
    time_zone: Zone = "UTC"
    duration: int | None = None
    slot_format: Literal["time", "range"] = "time"
    reschedule_uid: Annotated[str | None, Field(description="A booking whose time counts as available.")] = (
        None
    )

    def today(self) -> SlotsQuery:
        """Return the same question by the names of today; raise Invalid for what it cannot be."""
        if len(self.usernames) > 1:
            words = "Times of several hosts together are not supported."
            raise NotSupported(f"usernameList: {words}", usernameList=words)
        asked = {
            "eventTypeId": self.event_type_id,
            "username": next(iter(self.usernames), None),
            "eventTypeSlug": self.event_type_slug,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "timeZone": self.time_zone,
            "duration": self.duration,
            "format": self.slot_format,
            "bookingUidToReschedule": self.reschedule_uid,
        }
        try:
            return SlotsQuery.model_validate(
                {name: value for name, value in asked.items() if value is not None}
            )
        except ValidationError as error:
            raise invalid(error) from None


class BookingsQuery(Paging):
    """Filters for bookings; `limit` and `cursor` are aliases of `take` and `skip`."""

    unsupported = unsupported.BOOKINGS_LIST

    status: Annotated[
        list[Literal["upcoming", "recurring", "past", "cancelled", "unconfirmed"]],
        Field(description="One or more, comma-separated. There are no recurring bookings."),
    ] = []
    attendee_email: str | None = None
    attendee_name: Annotated[str | None, Field(description="A part of it.")] = None
    booking_uid: str | None = None
    event_type_id: Id | None = None
    event_type_ids: Annotated[list[Id], Field(description="One or more, comma-separated.")] = []
    after_start: Annotated[
        Instant | None,
        BeforeValidator(_moment),
        Field(description="Only bookings that start at this time or later."),
    ] = None
    before_end: Annotated[
        Instant | None,
        BeforeValidator(_last_moment),
        Field(description="Only bookings that end at this time or earlier."),
    ] = None
    after_created_at: Annotated[Instant | None, BeforeValidator(_moment)] = None
    before_created_at: Annotated[Instant | None, BeforeValidator(_last_moment)] = None
    after_updated_at: Annotated[
        Instant | None,
        BeforeValidator(_moment),
        Field(description="Only bookings that changed at this time or later."),
    ] = None
    before_updated_at: Annotated[Instant | None, BeforeValidator(_last_moment)] = None
    sort_start: Order | None = None
    sort_end: Order | None = None
    sort_created: Order | None = None
    sort_updated_at: Order | None = None
    take: Annotated[int, Field(ge=1, le=MOST, description="Maximum number of results.")] = 100
    limit: Annotated[int | None, Field(ge=1, le=MOST)] = None
    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,7}$", description="nextCursor of the previous page.")
    ] = None

    @property
    def part(self) -> Paging:
        """Which part of the list, by either pair of names."""
        return Paging(take=self.limit or self.take, skip=int(self.cursor) if self.cursor else self.skip)
