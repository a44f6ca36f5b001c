"""The log of deliveries: health of the last 24 hours, pages by filter, and one delivery with its attempts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Row, exists, func, select, union_all
from sqlalchemy.orm import Session, joinedload

from calapp.db import database_now
from calapp.deliveries.models import Attempt, Delivery, Event, State, in_state
from calapp.errors import NotFound
from calapp.local_time import typed_instant
from calapp.text import whole_number
from calapp.webhooks.models import Trigger, Webhook

NEWEST = 200  # attempts of one webhook that are looked at
LATELY = timedelta(hours=24)
BARS = 24
TOGETHER = 100  # webhooks that one statement asks for; SQLite takes 500 parts at most


@dataclass(frozen=True)
class Bar:
    """An hour: how many attempts were delivered and failed."""

    delivered: int
    failed: int


@dataclass(frozen=True)
class WebhookHealth:
    """A webhook's last 24 hours; durations in milliseconds, of the attempts that were delivered."""

    delivered: int
    failed: int
    p50: float | None
    p99: float | None
    last_failure: str | None
    last_failed_at: datetime | None
    capped: bool  # there were more attempts than were looked at
    bars: Sequence[Bar]

    @property
    def tallest(self) -> int:
        """The most attempts in one hour, at least 1."""
        return max(1, *(bar.delivered + bar.failed for bar in self.bars))


def health_of(session: Session, webhook_ids: Iterable[int]) -> dict[int, WebhookHealth]:
    """Return the health of each webhook that was attempted in the last 24 hours."""
    at = database_now(session)
    attempts: dict[int, list[Row[Any]]] = {}
    wanted = list(webhook_ids)
    for first in range(0, len(wanted), TOGETHER):
        for row in session.execute(_newest(wanted[first : first + TOGETHER], at - LATELY)):
            attempts.setdefault(row.webhook_id, []).append(row)
    return {webhook_id: _judged(rows, at) for webhook_id, rows in attempts.items()}


def _newest(webhook_ids: Sequence[int], since: datetime) -> Any:
    """Select the newest attempts of each webhook: one index probe each, however many there are."""
    parts = [
        select(
            select(Attempt.webhook_id, Attempt.at, Attempt.failure, Attempt.total_ms)
            .where(Attempt.webhook_id == webhook_id, Attempt.at > since)
            .order_by(Attempt.at.desc())
            .limit(NEWEST)
            .subquery()
        )
        for webhook_id in webhook_ids
    ]
    return union_all(*parts)


def _judged(rows: Sequence[Row[Any]], at: datetime) -> WebhookHealth:
    """Sum up the attempts of one webhook, newest first."""
    delivered, missed = [0] * BARS, [0] * BARS
    for row in rows:
        hour = min(BARS - 1, max(0, int((at - row.at) / (LATELY / BARS))))
        (missed if row.failure is not None else delivered)[BARS - 1 - hour] += 1
    times = sorted(row.total_ms for row in rows if row.failure is None and row.total_ms is not None)
    failed = [row for row in rows if row.failure is not None]
    return WebhookHealth(
        delivered=len(rows) - len(failed),
        failed=len(failed),
        p50=_percentile(times, 0.5),
        p99=_percentile(times, 0.99),
        last_failure=failed[0].failure if failed else None,
        last_failed_at=failed[0].at if failed else None,
        capped=len(rows) == NEWEST,
        bars=[Bar(*pair) for pair in zip(delivered, missed, strict=True)],
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


PAGE = 50
FAILING = "failing"  # waiting after a failed attempt; a filter of the log, not a state
STATES = (*(str(state) for state in State), FAILING)
COLUMNS = (
    Delivery.id,
    Delivery.webhook_id,
    Delivery.state,
    Delivery.due_at,
    Delivery.after_id,
    Delivery.claim,
    Delivery.attempts,
    Delivery.attempts_on_schedule,
    Delivery.manual,
    Delivery.last_status,
    Delivery.reason,
    Delivery.created_at,
    Delivery.finished_at,
    Delivery.pressed_at,
    Event.uid,
    Event.trigger,
    Event.subject,
)
IN_ADDRESS = ("webhook", "state", "trigger", "id", "text", "since", "until", "before", "after", "upto")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the log shows: fields left empty let everything through; `before` and `after` are delivery ids."""

    webhook: int | None = None
    state: str = ""
    trigger: str = ""
    id: str = ""  # of an event, a booking or a delivery
    booking: str = ""
    event: str = ""
    text: str = ""
    since: str = ""  # the times as they were typed
    until: str = ""
    from_at: datetime | None = None
    to_at: datetime | None = None
    problems: Mapping[str, str] = field(default_factory=dict)  # by field
    before: int | None = None
    after: int | None = None
    upto: int | None = None  # the number of the newest event that the text is looked for in

    def query(self) -> str:
        """Return the filter as the query of an address."""
        return urlencode({name: value for name in IN_ADDRESS if (value := getattr(self, name))})

    @property
    def narrow(self) -> bool:
        """Whether anything is left out but by the webhook and the page."""
        return any(getattr(self, name) for name in ("state", "trigger", "id", "text", "since", "until"))

    @property
    def first_page(self) -> bool:
        """Whether the newest deliveries are shown."""
        return self.before is None and self.after is None and self.upto is None


@dataclass(frozen=True)
class LogPage:
    """A page of the log, and the filters of its neighbours."""

    rows: Sequence[Row[Any]]
    newer: Filter | None
    older: Filter | None
    # Of a search for text that has not looked through all events: where it stopped, and how it goes on.
    searched_to: datetime | None = None
    search_older: Filter | None = None

    @property
    def changing(self) -> bool:
        """Whether something on this page is not final."""
        return any(row.state == State.WAITING for row in self.rows)


def read_filter(given: Mapping[str, str], zone: str) -> Filter:
    """Read a filter from an address, its times in a zone.

    A choice or number that cannot be read lets everything through; a time that cannot is a problem.
    """
    state, trigger = given.get("state", ""), given.get("trigger", "")
    times: dict[str, datetime] = {}
    problems = {}
    for name in ("since", "until"):
        try:
            if given.get(name, ""):
                times[name] = typed_instant(given[name], zone, last=name == "until")
        except ValueError:
            problems[name] = "Please enter a date and a time."
    from_at, to_at = times.get("since"), times.get("until")
    if from_at and to_at and from_at >= to_at:
        problems["until"] = "The end must be after the start."
    return Filter(
        webhook=whole_number(given.get("webhook", "")),
        state=state if state in STATES else "",
        trigger=trigger if trigger in {str(one) for one in Trigger} else "",
        id=(given.get("id", "") or given.get("booking", "")).strip()[:40],
        text=given.get("text", "").strip()[:200],
        since=given.get("since", "")[:40],
        until=given.get("until", "")[:40],
        from_at=from_at,
        to_at=to_at,
        problems=problems,
        before=whole_number(given.get("before", "")),
        after=whole_number(given.get("after", "")),
        upto=whole_number(given.get("upto", ""), digits=9),
    )


def row_of(session: Session, delivery_id: int) -> Row[Any]:
    """Return the row of the log of a delivery that there is."""
    return session.execute(_rows(Delivery.id == delivery_id)).one()


def _rows(*conditions: ColumnElement[bool]) -> Any:
    return select(*COLUMNS).join(Event, Event.id == Delivery.event_id).where(*conditions)


def page_of(session: Session, webhooks: Sequence[Webhook], wanted: Filter, most: int = PAGE) -> LogPage:
    """Return a page of the log of a host's webhooks."""
    if wanted.problems or not webhooks:
        return LogPage((), None, None)
    conditions, upward = _conditions(wanted), wanted.after is not None
    found = _of_events(session, webhooks[0].user_id, wanted)
    ids: list[int] = []
    if found is not None:
        ids += session.scalars(_of_found(webhooks, found.ids, conditions, upward=upward, most=most + 1))
    for first in range(0, len(webhooks) if found is None else 0, TOGETHER):
        together = [webhook.id for webhook in webhooks[first : first + TOGETHER]]
        ids += session.scalars(_nearest(together, conditions, upward=upward, most=most + 1))
    ids = sorted(ids, reverse=not upward)[: most + 1]
    more = len(ids) > most
    rows = session.execute(_rows(Delivery.id.in_(ids[:most])).order_by(Delivery.id.desc())).all()
    has_newer = more if upward else wanted.before is not None
    has_older = upward or more
    unseen = found.unseen if found else None
    return LogPage(
        rows,
        replace(wanted, before=None, after=rows[0].id) if rows and has_newer else None,
        replace(wanted, before=rows[-1].id, after=None) if rows and has_older else None,
        unseen.created_at if unseen else None,
        replace(wanted, before=None, after=None, upto=unseen.number) if unseen else None,
    )


def _nearest(
    webhook_ids: Sequence[int], conditions: Sequence[ColumnElement[bool]], *, upward: bool, most: int
) -> Any:
    """Select ids of deliveries nearest to a page's end: each webhook's by its index, then of all."""
    ordered = Delivery.id.asc() if upward else Delivery.id.desc()
    parts = [
        select(
            select(Delivery.id)
            .where(Delivery.webhook_id == webhook_id, *conditions)
            .order_by(ordered)
            .limit(most)
            .subquery()
        )
        for webhook_id in webhook_ids
    ]
    ids = union_all(*parts).subquery().c.id
    return select(ids).order_by(ids.asc() if upward else ids.desc()).limit(most)


def _of_found(
    webhooks: Sequence[Webhook],
    events: Sequence[int],
    conditions: Sequence[ColumnElement[bool]],
    *,
    upward: bool,
    most: int,
) -> Any:
    """Select ids of the deliveries of these events nearest to a page's end.

    The sums keep the planners from walking the whole log of a webhook, or of all, in its order.
    """
    mine = (Delivery.webhook_id + 0).in_([webhook.id for webhook in webhooks])
    ordered = (Delivery.id + 0).asc() if upward else (Delivery.id + 0).desc()
    query = select(Delivery.id).where(Delivery.event_id.in_(events), mine, *conditions)
    return query.order_by(ordered).limit(most)


def _of_rows(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.after is not None:
        conditions.append(Delivery.id > wanted.after)
    elif wanted.before is not None:
        conditions.append(Delivery.id < wanted.before)
    if wanted.state == FAILING:
        conditions += [in_state(State.WAITING), Delivery.attempts_on_schedule > 0]
    elif wanted.state:
        conditions.append(in_state(State(wanted.state)))
    if wanted.from_at:
        conditions.append(Delivery.created_at >= wanted.from_at)
    if wanted.to_at:
        conditions.append(Delivery.created_at <= wanted.to_at)
    return conditions


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions, number = _of_rows(wanted), whole_number(wanted.id)
    if number is not None:
        conditions.append(Delivery.id == number)
    events = [Event.trigger == wanted.trigger] if wanted.trigger else []
    if number is not None and wanted.text:
        events.append(_has_text(wanted))
    if events:
        conditions.append(exists().where(Event.id == Delivery.event_id, *events))
    return conditions


def _has_text(wanted: Filter) -> ColumnElement[bool]:
    return Event.search.contains(wanted.text.lower(), autoescape=True)


MOST_EVENTS = 1000  # that a page's deliveries are of, the newest
LOOKED_THROUGH = 10_000  # events of a host that one search for text looks through


@dataclass(frozen=True)
class _Found:
    """The ids of a host's events that a filter is about, and the newest one that a search did not reach."""

    ids: Sequence[int]
    unseen: Row[int, datetime] | None = None


def _of_events(session: Session, host_id: int, wanted: Filter) -> _Found | None:
    """Look a host's events up first, so that no whole log is walked; None for a filter about none of them.

    By an id, each condition has its own index. Text is looked for in the newest events, so many at a time.
    """
    if whole_number(wanted.id) is not None:  # of a delivery
        return None
    names = (
        (wanted.booking, (Event.subject, Event.chain)),
        (wanted.event, (Event.uid,)),
        (wanted.id, (Event.uid, Event.subject, Event.chain)),
    )
    known: list[set[int]] = []
    for name, columns in names:
        if name:
            known.append(set())
            for column in columns:
                # The sum leads SQLite, which knows no numbers of rows, to the column's index.
                query = select(Event.id).where(Event.user_id + 0 == host_id, column == name)
                if wanted.text:
                    query = query.where(_has_text(wanted))
                known[-1].update(session.scalars(query.order_by(Event.id.desc()).limit(MOST_EVENTS)))
    if known:
        return _Found(sorted(set.intersection(*known), reverse=True)[:MOST_EVENTS])
    return _with_text(session, host_id, wanted) if wanted.text else None


def _with_text(session: Session, host_id: int, wanted: Filter) -> _Found:
    """Look for text in a host's newest events, or on from where a search has stopped."""
    newest = select(func.max(Event.number)).where(Event.user_id == host_id)
    upto = wanted.upto or session.scalar(newest) or 0
    oldest = upto - LOOKED_THROUGH + 1
    query = select(Event.id, Event.number).where(Event.user_id == host_id, Event.number.between(oldest, upto))
    query = query.where(_has_text(wanted)).order_by(Event.number.desc()).limit(MOST_EVENTS)
    found = session.execute(query).all()
    if len(found) == MOST_EVENTS:
        oldest = found[-1].number
    older = select(Event.number, Event.created_at).where(Event.user_id == host_id, Event.number < oldest)
    unseen = session.execute(older.order_by(Event.number.desc()).limit(1)).first()
    return _Found([row.id for row in found], unseen)


def event_of_host(session: Session, user_id: int, uid: str) -> tuple[Event, list[Delivery]]:
    """Return a host's event with its deliveries, oldest first, their webhooks loaded; raise NotFound."""
    event: Event | None = session.scalar(select(Event).where(Event.uid == uid, Event.user_id == user_id))
    if event is None:
        raise NotFound
    query = select(Delivery).where(Delivery.event_id == event.id).options(joinedload(Delivery.webhook))
    return event, list(session.scalars(query.order_by(Delivery.webhook_id, Delivery.id)))


def find(session: Session, webhook_id: int, delivery_id: int) -> Delivery:
    """Return a webhook's delivery; raise NotFound when it has none with this id."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook_id:
        raise NotFound
    return delivery


def find_of_host(session: Session, user_id: int, delivery_id: int) -> Delivery:
    """Return a host's delivery; raise NotFound for a stranger's, or when its webhook is deleted."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.webhook.user_id != user_id or delivery.webhook.deleted_at is not None:
        raise NotFound
    return delivery


def attempts_of(session: Session, delivery_id: int) -> list[Attempt]:
    """Return the attempts of a delivery, newest first."""
    query = select(Attempt).where(Attempt.delivery_id == delivery_id)
    return list(session.scalars(query.order_by(Attempt.id.desc())))


def counts(session: Session, webhook_ids: Iterable[int], state: State) -> dict[int, int]:
    """Return how many deliveries of each webhook are in a state; a webhook without any is left out."""
    query = (
        select(Delivery.webhook_id, func.count().label("number"))
        .where(Delivery.webhook_id.in_(list(webhook_ids)), in_state(state))
        .group_by(Delivery.webhook_id)
    )
    return {row.webhook_id: row.number for row in session.execute(query)}
