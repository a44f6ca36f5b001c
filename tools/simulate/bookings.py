"""What happens to bookings in a walk; each change is made in a model, too, which says what must follow."""

from collections.abc import Callable
from datetime import datetime, timedelta

from calapp.bookings import changes
from calapp.bookings import service as bookings
from calapp.bookings.schemas import BookingRequest, RescheduleRequest
from calapp.db import db, transaction
from calapp.errors import AppError
from calapp.event_types.models import EventType
from calapp.privacy.service import erase_visitor
from tools.simulate import model
from tools.simulate.acts import Acts
from tools.simulate.seen import Broken
from tools.simulate.world import Killed

VISITORS = ("ada@example.com", "bea@example.com", "cyd@example.com")


class BookingActs(Acts):
    """Visitors and hosts book, move, cancel, confirm, reject and erase."""

    def _free_start(self) -> datetime:
        self.taken += 1
        return (self.world.wall() + timedelta(hours=1 + self.taken % 40)).replace(
            minute=0, second=0, microsecond=0
        ) + timedelta(minutes=15 * (self.taken % 4))

    def _change(
        self, words: str, act: Callable[[], str | None], expected: Callable[[], str | None]
    ) -> str | None:
        """Do something that writes an event; return the uid that it made, or None when it was refused.

        `expected` has the model do the same; it is asked only when the transaction is committed or refused.
        """
        since = self.world.highest("id", "event")
        self.world.user_dies_in_commit = dies = self.rng.random() < 0.08
        made, refused = None, False
        try:
            made = act()
        except Killed:
            self.say(f"{words}: the web server dies in the commit")
            self.checks.events(since, [])
            return None
        except AppError as error:
            refused = True
            words += f": refused ({type(error).__name__})"
        finally:
            self.world.user_dies_in_commit = False
            db.session().rollback()
        trigger = expected()
        self.say(
            words + (f": {trigger}" if trigger else "") + (" (a death was due)" if dies and refused else "")
        )
        if (trigger is None) != refused:
            raise Broken(f"{words}: the model gives {trigger}")
        if trigger is not None and made is not None:
            self.checks.events(since, [(self.chains.get(made, made), trigger)])
        else:
            self.checks.events(since, [])
        return made

    def book(self) -> None:
        kind = self.rng.choice(self.world.event_types)
        start, visitor = self._free_start(), self.rng.choice(VISITORS)
        asks = kind == self.world.event_types[1]

        def act() -> str:
            request = BookingRequest.model_validate(
                {
                    "start": start,
                    "attendee": {"name": "Visitor", "email": visitor, "timeZone": "UTC"},
                }
            )
            with transaction() as session:
                uid = bookings.book(session, session.get_one(EventType, kind), request).uid
                self.kinds[uid] = kind
            return uid

        trigger, meeting = model.book(start, asks=asks)
        if any(one.starts_at == start for one in self.meetings.values()):
            return
        if uid := self._change(f"{visitor} books {start:%d %H:%M}", act, lambda: trigger):
            self.meetings[uid], self.chains[uid] = meeting, uid

    def _pick(self) -> str | None:
        current = [uid for uid, one in self.meetings.items() if one.status in {"pending", "accepted"}]
        if current and self.rng.random() < 0.9:
            return self.rng.choice(current)
        return self.rng.choice(list(self.meetings)) if self.meetings else None

    def _number(self, uid: str) -> int:
        return list(self.meetings).index(uid) + 1

    def move(self) -> None:
        if (uid := self._pick()) is None:
            return
        start = self._free_start()
        if any(one.starts_at == start for one in self.meetings.values()):
            return
        moved: list[model.Meeting] = []

        def act() -> str:
            request = RescheduleRequest.model_validate({"start": start})
            with transaction() as session:
                made = bookings.reschedule(session, self.world.booking(uid), request, by=VISITORS[0]).uid
            self.chains[made] = self.chains[uid]
            return made

        def expected() -> str | None:
            found = self.meetings[uid].move(start, self.world.wall())
            if found is None:
                return None
            moved.append(found[1])
            return found[0]

        if made := self._change(f"booking {self._number(uid)} is moved", act, expected):
            self.meetings[made] = moved[0]

    def _act_on(self, words: str, act: Callable[[str], None], expected: Callable[[str], str | None]) -> None:
        if (uid := self._pick()) is None:
            return

        def do() -> str:
            with transaction():
                act(uid)
            return uid

        self._change(f"booking {self._number(uid)} is {words}", do, lambda: expected(uid))

    def cancel(self) -> None:
        self._act_on(
            "cancelled",
            lambda uid: bookings.cancel(db.session(), self.world.booking(uid), by=VISITORS[0], reason=""),
            lambda uid: self.meetings[uid].cancel(self.world.wall()),
        )

    def confirm(self) -> None:
        self._act_on(
            "confirmed",
            lambda uid: bookings.confirm(db.session(), self.world.booking(uid)),
            lambda uid: self.meetings[uid].confirm(self.world.wall()),
        )

    def reject(self) -> None:
        self._act_on(
            "rejected",
            lambda uid: bookings.reject(db.session(), self.world.booking(uid), ""),
            lambda uid: self.meetings[uid].reject(self.world.wall()),
        )

    def mark_absent(self) -> None:
        """Mark the visitor of a meeting that has begun, or take it back."""
        begun = [uid for uid, one in self.meetings.items() if one.starts_at <= self.world.wall()]
        if not begun:
            return
        uid, absent = self.rng.choice(begun), self.rng.random() < 0.7
        if uid in self.erased or self.meetings[uid].absent == absent:
            return

        def do() -> str:
            with transaction() as session:
                booking = self.world.booking(uid)
                changes.mark_no_show(session, booking, booking.attendees[0].email, absent=absent)
            return uid

        self._change(
            f"the visitor of booking {self._number(uid)} was {'not ' * absent}there",
            do,
            lambda: self.meetings[uid].mark_absent(absent=absent, now=self.world.wall()),
        )

    def erase(self) -> None:
        visitor = self.rng.choice(VISITORS)
        self.say(f"{visitor} is erased")
        with transaction() as session:
            erase_visitor(session, visitor)
        self.erased |= set(self.meetings)
