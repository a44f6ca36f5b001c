"""Deliveries, replays and the feed as the API writes them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from calapp.db import LARGEST
from calapp.deliveries.feed import LATEST, FeedPage, cursor
from calapp.deliveries.formatting import Because, outlook
from calapp.deliveries.log import STATES, Filter
from calapp.deliveries.models import Attempt, Replay, ReplayState, State
from calapp.deliveries.outbox import TemplateChoice
from calapp.rest.schemas import MOST, Instant, QuerySchema, RequestSchema, ResponseSchema, said
from calapp.webhooks.models import Trigger, Webhook

Take = Annotated[int, Field(ge=1, le=MOST, description="Maximum number of results.")]


class DeliveryQuery(QuerySchema):
    """Filters for deliveries."""

    take: Take = MOST
    before: Annotated[
        int | None, Field(ge=1, le=LARGEST, description="`pagination.next` of the previous page.")
    ] = None
    state: Annotated[
        Literal[STATES] | None,  # type: ignore[valid-type]
        Field(description="Only deliveries in this state; `failing`: waiting after a failed attempt."),
    ] = None
    trigger_event: Trigger | None = None
    booking_uid: Annotated[str | None, Field(max_length=40)] = None
    event_id: Annotated[str | None, Field(max_length=40, description="The `webhook-id`.")] = None

    def filter(self) -> Filter:
        """Return what the log is asked for."""
        return Filter(
            state=self.state or "",
            trigger=self.trigger_event or "",
            booking=self.booking_uid or "",
            event=self.event_id or "",
            before=self.before,
        )


class DeliveryInfo(ResponseSchema):
    """Where in the log a page ends."""

    next: Annotated[int | None, Field(description="`before` of the next page.")]
    has_more: bool


class DeliveryResponse(ResponseSchema):
    """One event on its way to one webhook."""

    id: int
    webhook_id: str
    event_id: Annotated[str, Field(description="The `webhook-id` of every attempt.")]
    trigger_event: str
    booking_uid: str
    state: State
    attempt_count: int
    manual: Annotated[bool, Field(description="Resent or replayed manually.")]
    last_status: int | None
    reason: Annotated[str | None, Field(description="Why it failed, was parked or expired.")]
    created_at: Instant
    next_attempt_at: Annotated[
        Instant | None,
        Field(
            description="The earliest time of the next attempt: the later of its own schedule and of its "
            "webhook's backoff or `Retry-After`. null while it is being sent, has ended, or waits for others."
        ),
    ]
    waiting_for: Annotated[
        Because | None, Field(description="What it waits for; null when it does not wait.")
    ]
    finished_at: Instant | None


class TimingsResponse(ResponseSchema):
    """How long each part of an attempt took, in milliseconds."""

    name: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float | None


class AttemptResponse(ResponseSchema):
    """One attempt and its outcome."""

    number: int
    at: Instant
    manual: bool
    status: int | None
    failure_code: Annotated[str | None, Field(description="Why it failed, as a code for programs.")]
    failure: Annotated[str | None, Field(description="Why it failed and what to do, as text for people.")]
    milliseconds: TimingsResponse
    response_headers: str
    response_body: Annotated[str, Field(description="Up to the first 16 KB.")]


class DeliveryWithAttempts(DeliveryResponse):
    """A delivery with what is sent and every attempt that is kept."""

    subscriber_url: Annotated[str, Field(description="URL of the next attempt.")]
    body: Annotated[
        str | None,
        Field(description="The exact body; null once it is no longer kept, or when its template failed."),
    ]
    trace_id: Annotated[
        str | None,
        Field(description="The trace in the `traceparent` of every attempt; null if it is not kept."),
    ]
    attempts: Annotated[list[AttemptResponse], Field(description="Newest first.")]


class ResendWanted(RequestSchema):
    """How an event is sent again."""

    template: Annotated[
        TemplateChoice | None,
        Field(
            description="`original` sends the body as it was, `current` renders it with the webhook's "
            "current template. Default: `original`, or `current` if the original template could not be "
            "rendered."
        ),
    ] = None


class ReplayWanted(RequestSchema):
    """Which events are sent again: those that happened from one instant to another."""

    from_: Annotated[Instant, Field(alias="from")]
    to: Instant
    only_failed: Annotated[bool, Field(description="Skip delivered events.")] = True
    dry_run: Annotated[bool, Field(description="Only count the events.")] = False


class ReplayResponse(ResponseSchema):
    """A replay and its progress. A dry run has no id."""

    id: int | None
    webhook_id: str
    from_: Annotated[Instant, Field(alias="from")]
    to: Instant
    only_failed: bool
    state: ReplayState | Literal["dry_run"]
    total: int
    done: Annotated[int, Field(description="How many are queued or delivered.")]
    waiting: Annotated[
        int | None,
        Field(description="In a dry run, how many of them still wait and would be sent at once."),
    ] = None
    created_at: Instant | None
    finished_at: Instant | None


class Parked(ResponseSchema):
    """The parked events of a webhook."""

    webhook_id: str
    parked: Annotated[int, Field(description="How many events are still parked.")]
    decision: Annotated[
        Literal["release", "discard"] | None,
        Field(
            description="What is being done with them, step by step; null if nothing is, or once it is done."
        ),
    ]


def _sensible(day: date) -> date:
    if not 2000 <= day.year <= 2200:
        raise ValueError("Must be a day between 2000 and 2200.")
    return day


Day = Annotated[
    date,
    Field(examples=["2027-01-04"]),
    AfterValidator(_sensible),
    said("Must be a day such as 2027-01-04."),
]


class EventQuery(QuerySchema):
    """Where to start in the feed, and whether to wait for new events."""

    after: Annotated[
        str | None,
        Field(
            max_length=60,
            description=f"A cursor. Default: the oldest event that is stored. `{LATEST}` skips everything "
            "that has happened so far.",
        ),
    ] = None
    take: Take = 100
    summary: Annotated[
        Day | None,
        Field(
            description="A day of the host's that is over, YYYY-MM-DD: returns counts and hashes of its "
            "events instead of the events."
        ),
    ] = None
    wait: Annotated[
        int,
        Field(
            ge=0,
            le=20,
            description="Seconds to wait when there is nothing yet. At most two requests of a host wait at "
            "once; others are answered immediately.",
        ),
    ] = 0


class SummaryPart(ResponseSchema):
    """The events of a day with one event type and trigger."""

    event_type_id: Annotated[int | None, Field(description="null: the event was erased.")]
    trigger_event: str
    count: int
    first_id: str
    last_id: str
    sha256: Annotated[
        str, Field(description="SHA-256, in hex, of the ids in the order of the feed, joined by line feeds.")
    ]


class DaySummary(ResponseSchema):
    """What happened on a day, as in the payload of DAILY_SUMMARY."""

    date: Annotated[str, Field(json_schema_extra={"format": "date"})]
    time_zone: Annotated[str, Field(description="The host's, in which the day is one.")]
    from_: Annotated[Instant, Field(alias="from")]
    to: Annotated[Instant, Field(description="When the day ends: the beginning of the next.")]
    after: Annotated[str, Field(description="The cursor from which the feed has the day's events.")]
    events: list[SummaryPart]


class FeedEvent(ResponseSchema):
    """An event, whether or not a webhook subscribes to it."""

    cursor: str
    id: Annotated[str, Field(description="The `webhook-id` of its deliveries.")]
    trigger_event: str
    created_at: Instant
    body: Annotated[
        str | None,
        Field(description="The exact body; null when it is no longer stored because its visitor was erased."),
    ]


class FeedInfo(ResponseSchema):
    """Where a page of the feed ends."""

    next: Annotated[str, Field(description="`after` of the next page, even if this page is empty.")]
    has_more: bool


def delivery_fields(row: Any, webhook: Webhook, at: datetime) -> dict[str, Any]:
    """Return the fields of a delivery from a row of the log and its webhook, as they are at an instant."""
    waits = outlook(row, webhook, at)
    return {
        "id": row.id,
        "webhook_id": webhook.uid,
        "event_id": row.uid,
        "trigger_event": row.trigger,
        "booking_uid": row.subject,
        "state": row.state,
        "attempt_count": row.attempts,
        "manual": row.manual,
        "last_status": row.last_status,
        "reason": row.reason,
        "created_at": row.created_at,
        "next_attempt_at": waits.at if waits else None,
        "waiting_for": waits.because if waits else None,
        "finished_at": row.finished_at,
    }


def attempt(made: Attempt) -> AttemptResponse:
    """Write an attempt."""
    timings = TimingsResponse(
        name=made.name_ms,
        connect=made.connect_ms,
        tls=made.tls_ms,
        first_byte=made.first_byte_ms,
        total=made.total_ms,
    )
    return AttemptResponse(
        number=made.number,
        at=made.at,
        manual=made.manual,
        status=made.status,
        failure_code=made.failure_code,
        failure=made.failure,
        milliseconds=timings,
        response_headers=made.response_headers,
        response_body=made.response_body,
    )


def replay(made: Replay, webhook_id: str) -> ReplayResponse:
    """Write a replay."""
    return ReplayResponse(
        id=made.id,
        webhook_id=webhook_id,
        from_=made.from_at,
        to=made.to_at,
        only_failed=made.only_failed,
        state=made.state,
        total=made.total,
        done=made.done,
        created_at=made.created_at,
        finished_at=made.finished_at,
    )


def parked(webhook: Webhook, count: int) -> Parked:
    """Write what is parked at a webhook."""
    decisions: dict[str, Literal["release", "discard"]] = {"send": "release", "drop": "discard"}
    decision = decisions[webhook.parked_decision] if webhook.parked_decision and count else None
    return Parked(webhook_id=webhook.uid, parked=count, decision=decision)


def events(page: FeedPage) -> Sequence[FeedEvent]:
    """Write a page of the feed."""
    return [
        FeedEvent(
            cursor=cursor(row.number, row.uid),
            id=row.uid,
            trigger_event=row.trigger,
            created_at=row.created_at,
            body=row.body,
        )
        for row in page.events
    ]
