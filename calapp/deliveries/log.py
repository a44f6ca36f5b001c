"""The delivery log: which deliveries of a webhook, newest first, and what to say of each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.orm import Session

from calapp.deliveries.models import Delivery, Event, State
from calapp.webhooks.triggers import Trigger

PAGE = 50
FAILING = "failing"  # waiting after a failed try; a filter of the log, not a state
STATES = (*(str(state) for state in State), FAILING)
COLUMNS = (
    Delivery.id,
    Delivery.state,
    Delivery.due_at,
    Delivery.after_id,
    Delivery.claim,
    Delivery.attempts,
    Delivery.tries,
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


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the log shows: fields left empty let everything through; `before` and `after` are delivery ids."""

    state: str = ""
    trigger: str = ""
    booking: str = ""
    text: str = ""
    before: int | None = None
    after: int | None = None

    def query(self) -> str:
        """Return the filter as the query of an address."""
        return urlencode({name: value for name, value in asdict(self).items() if value})

    @property
    def narrow(self) -> bool:
        """Whether anything is left out but by the page."""
        return bool(self.state or self.trigger or self.booking or self.text)

    @property
    def first_page(self) -> bool:
        """Whether the newest deliveries are shown."""
        return self.before is None and self.after is None


@dataclass(frozen=True)
class LogPage:
    """A page of the log, and the filters of its neighbours."""

    rows: Sequence[Row[Any]]
    newer: Filter | None
    older: Filter | None

    @property
    def changing(self) -> bool:
        """Whether something on this page is not final."""
        return any(row.state == State.WAITING for row in self.rows)


def read_filter(given: Mapping[str, str]) -> Filter:
    """Read a filter from an address; what cannot be read lets everything through."""
    state, trigger = given.get("state", ""), given.get("trigger", "")
    return Filter(
        state=state if state in STATES else "",
        trigger=trigger if trigger in {str(one) for one in Trigger} else "",
        booking=given.get("booking", "").strip()[:40],
        text=given.get("text", "").strip()[:200],
        before=_number(given.get("before", "")),
        after=_number(given.get("after", "")),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def row_of(session: Session, delivery_id: int) -> Row[Any]:
    """Return the row of the log of a delivery that there is."""
    return session.execute(_rows(Delivery.id == delivery_id)).one()


def _rows(*conditions: ColumnElement[bool]) -> Any:
    return select(*COLUMNS).join(Event, Event.id == Delivery.event_id).where(*conditions)


def page_of(session: Session, webhook_id: int, wanted: Filter, most: int = PAGE) -> LogPage:
    """Return a page of a webhook's log."""
    query = _rows(*_conditions(webhook_id, wanted))
    if wanted.after is not None:
        query = query.where(Delivery.id > wanted.after).order_by(Delivery.id)
    else:
        query = query.where(*_before(wanted)).order_by(Delivery.id.desc())
    found = session.execute(query.limit(most + 1)).all()
    rows, more = list(found[:most]), len(found) > most
    if wanted.after is not None:
        rows.reverse()
    has_newer = more if wanted.after is not None else wanted.before is not None
    has_older = wanted.after is not None or more
    return LogPage(
        rows,
        replace(wanted, before=None, after=rows[0].id) if rows and has_newer else None,
        replace(wanted, before=rows[-1].id, after=None) if rows and has_older else None,
    )


def _before(wanted: Filter) -> list[ColumnElement[bool]]:
    return [] if wanted.before is None else [Delivery.id < wanted.before]


def _conditions(webhook_id: int, wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Delivery.webhook_id == webhook_id]
    if wanted.state == FAILING:
        conditions += [Delivery.state == State.WAITING, Delivery.tries > 0]
    elif wanted.state:
        conditions.append(Delivery.state == wanted.state)
    if wanted.trigger:
        conditions.append(Event.trigger == wanted.trigger)
    if wanted.booking:
        conditions.append(or_(Event.subject == wanted.booking, Event.chain == wanted.booking))
    if wanted.text:
        conditions.append(Event.search.contains(wanted.text.lower(), autoescape=True))
    return conditions
