"""The invariants: what must hold whenever something was done, at each request, and at rest."""

from collections.abc import Sequence
from typing import Any

from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, PARKED_HOLD
from tools.simulate.seen import DELIVERIES, EVENTS, FINAL, WEBHOOKS, expect
from tools.simulate.sending import SendingChecks
from tools.simulate.storing import StoringChecks
from tools.simulate.world import Hook


class Checks(SendingChecks, StoringChecks):
    """All checks of one walk; those of requests and of stored rows have modules of their own."""

    # After each action

    def events(self, since: int, expected: list[tuple[str, str]]) -> None:
        """Expect these events (chain, trigger) since an id, each with a delivery for each subscriber."""
        found = self.world.read(EVENTS.format(after=since))
        got = sorted((row.chain, row.trigger) for row in found)
        expect(got == sorted(expected), f"the events are {got}, and should be {sorted(expected)}")
        if not found:
            return
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        rows = self.world.read(DELIVERIES)
        for event in found:
            subscribed = self._subscribed(event.trigger, self.kinds[event.chain])
            mine = [row for row in rows if row.event_id == event.id]
            ids = sorted(row.webhook_id for row in mine)
            expect(
                ids == subscribed, f"event {event.id} goes to webhooks {ids}, and should go to {subscribed}"
            )
            if any(row.state == "waiting" and row.due_at for row in mine) and self.world.wakes == "heard":
                deaf = [one.name for one in self.world.living() if not one.sender.woken]
                expect(not deaf, f"{deaf} were not woken by event {event.id}")
            for row in mine:
                self._written(row, rows, hooks[row.webhook_id])

    def _subscribed(self, trigger: str, event_type_id: int) -> list[int]:
        by_url: dict[str, Hook] = {}
        for hook in sorted(
            self.world.hooks.values(), key=lambda one: (one.event_type_id is not None, one.id)
        ):
            if not hook.deleted and trigger in hook.triggers and hook.event_type_id in {None, event_type_id}:
                by_url[hook.url] = hook
        return sorted(hook.id for hook in by_url.values())

    def _written(self, row: Any, rows: Sequence[Any], webhook: Any) -> None:
        """Expect that a new delivery waits for what it must wait for, and for nothing else."""
        name, at = f"delivery {row.id}", self.world.wall()
        chain = [
            one
            for one in rows
            if (one.webhook_id, one.chain) == (row.webhook_id, row.chain) and one.id < row.id
        ]
        waiting = [one for one in chain if one.state == "waiting" and one.tries < ATTEMPTS_THAT_BLOCK]
        ahead = [one.id for one in waiting if one.pressed_at is None]
        in_line = [one.id for one in waiting if one.id in ahead and not (one.manual and one.after_id is None)]
        in_line = in_line or ahead or [one.id for one in waiting]
        parked = [one.id for one in chain if one.state == "parked"]
        discarded = (webhook.settling_to or 0) if webhook.settling == "drop" else 0
        undecided = [one for one in parked if one > discarded]
        if not webhook.active:
            expect(row.state == "parked", f"{name} is {row.state} though its webhook is off")
            return
        if parked and webhook.settling == "send":
            expect(row.state == "parked", f"{name} does not wait for the parked events that are being sent")
            return
        expect(row.state == "waiting", f"{name} is {row.state} though its webhook is on")
        if in_line:
            expect(row.after_id == max(in_line), f"{name} waits behind {row.after_id}, not {max(in_line)}")
            expect(row.due_at is None, f"{name} waits behind another and is due")
        elif undecided and webhook.on_at and webhook.on_at + PARKED_HOLD > at:
            expect(row.after_id == max(parked), f"{name} waits behind {row.after_id}, not {max(parked)}")
            expect(row.due_at == webhook.on_at + PARKED_HOLD, f"{name} waits until {row.due_at}")
        else:
            expect(row.after_id is None, f"{name} waits behind {row.after_id} for no reason")
            expect(row.due_at is not None and row.due_at <= at, f"{name} is not due at once")

    # At rest

    def rest(self) -> None:
        """Expect that nothing is left over when everything has calmed down."""
        rows = {row.id: row for row in self.world.read(DELIVERIES)}
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        for row in rows.values():
            webhook = hooks[row.webhook_id]
            name = f"delivery {row.id}"
            ended = webhook.deleted_at is None or row.state in FINAL
            expect(ended, f"{name} of a deleted webhook is {row.state} for ever")
            expect(row.state in FINAL or row.state == "parked", f"{name} is {row.state} for ever")
            expect(
                row.after_id is None or row.state != "waiting", f"{name} waits behind {row.after_id} for ever"
            )
        for key, flight in self.by_key.items():
            gone = flight.request.delivery_id not in rows
            logged = key in self.stored or flight.lost or gone
            expect(logged, f"attempt {key[1]} of delivery {key[0]} was sent and is not in the log")
        sequences: dict[str, list[int]] = {}
        for event in self.world.read(EVENTS.format(after=0)):
            sequences.setdefault(event.chain, []).append(event.sequence)
        for chain, found in sequences.items():
            expect(found == list(range(1, len(found) + 1)), f"the events of {chain} are numbered {found}")
