"""What hosts do with webhooks in a walk: edits, switches, parked events, resending."""

from collections.abc import Callable
from datetime import timedelta

from calapp.db import db, transaction
from calapp.deliveries import replays, resend
from calapp.deliveries.models import Delivery
from calapp.deliveries.outbox import TemplateChoice
from calapp.errors import AppError
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, ParkedDecision, Webhook
from tools.simulate.acts import Acts
from tools.simulate.world import SECRETS, Hook

TEMPLATES = ('{"event": {{triggerEvent}}}', '{"at": {{createdAt}}, "who": {{payload.attendees}}}')


class WebhookActs(Acts):
    """Hosts change webhooks and send events again."""

    def _touchable(self) -> list[Hook]:
        return [hook for hook in self.world.hooks.values() if not (hook.healthy or hook.deleted)]

    def _add_webhook(self) -> None:
        kind = self.rng.choice((None, None, *self.world.event_types))
        triggers = self.rng.choice(((), (), ("BOOKING_CREATED", "BOOKING_CANCELLED")))
        wide = [one for one in self._touchable() if one.event_type_id is None]
        shared = kind is not None and wide and self.rng.random() < 0.4
        url = self.rng.choice(wide).url if shared else None
        if any((one.url, one.event_type_id) == (url, kind) for one in self._touchable()):
            url = None
        hook = self.world.add_hook(kind, triggers=triggers, url=url)
        self.say(f"webhook {hook.id} is added" + f" for event type {kind}" * (kind is not None))

    def add_webhook(self) -> None:
        if len(self._touchable()) < 4:
            self._add_webhook()

    def _with_webhook(self, words: str, act: Callable[[Webhook, Hook], None]) -> None:
        if not (hooks := self._touchable()):
            return
        hook = self.rng.choice(hooks)
        with transaction() as session:
            act(session.get_one(Webhook, hook.id), hook)
        self.say(f"webhook {hook.id} {words}")

    def switch_off(self) -> None:
        self._with_webhook("is switched off", lambda row, _: webhooks.switch_off(row, OffReason.HOST))

    def switch_on(self) -> None:
        self._with_webhook("is switched on", lambda row, _: webhooks.switch_on(row))

    def edit_url(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            number = len(self.world.receivers) + 1
            url = f"https://receiver{number}.example/moved"
            self.world.receivers[url] = type(self.world.receivers[hook.url])()
            row.subscriber_url = hook.url = url
            webhooks.forget_failures(row)

        self._with_webhook("has another URL", act)

    def change_secret(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            secret = SECRETS[1] if hook.secrets == (SECRETS[0],) else SECRETS[0]
            webhooks.change_secret(row, secret, 0)
            hook.secrets = (secret,)

        self._with_webhook("has another secret", act)

    def edit_template(self) -> None:
        text = self.rng.choice((None, *TEMPLATES))

        def act(row: Webhook, _: Hook) -> None:
            row.payload_template = text

        self._with_webhook(f"has the payload template {text}", act)

    def limit_rate(self) -> None:
        limit = self.rng.choice((None, 1, 3, 10))

        def act(row: Webhook, _: Hook) -> None:
            row.max_per_second = limit
            self.checks.limit(row.id, limit)

        self._with_webhook(f"takes {limit or 'any number of'} requests a second", act)

    def delete_webhook(self) -> None:
        def act(row: Webhook, hook: Hook) -> None:
            webhooks.delete(row)
            hook.deleted = True

        self._with_webhook("is deleted", act)

    def decide_parked(self) -> None:
        choice = self.rng.choice(
            (ParkedDecision.RELEASE, ParkedDecision.RELEASE, ParkedDecision.DISCARD, None)
        )
        try:
            self._with_webhook(
                f"has its parked events decided: {choice}",
                lambda row, _: resend.decide(db.session(), row, choice),
            )
        except AppError:
            self.say("parked events cannot be sent while the webhook is off")

    def send_now(self) -> None:
        ids = [row.id for row in self.world.read("SELECT id FROM delivery ORDER BY id")]
        if not ids:
            return
        chosen, choice = self.rng.choice(ids), self.rng.choice((None, *TemplateChoice))
        try:
            with transaction() as session:
                resent = resend.resend(session, session.get_one(Delivery, chosen), choice)
                self.checks.resent(resent, chosen, choice)
        except AppError as error:
            self.say(f"delivery {chosen} cannot be resent ({type(error).__name__})")
        else:
            self.say(f"delivery {chosen} is resent")

    def replay(self) -> None:
        if not (hooks := self._touchable()):
            return
        hook = self.rng.choice(hooks)
        now = self.world.wall()
        time_range = replays.TimeRange(
            from_at=now - timedelta(hours=self.rng.choice((1, 100))),
            to_at=now,
            only_failed=self.rng.random() < 0.5,
        )
        total = replays.count(db.session(), hook.id, time_range).total
        try:
            with transaction() as session:
                replays.start(session, session.get_one(Webhook, hook.id), time_range, total)
        except AppError as error:
            self.say(f"no replay of webhook {hook.id} ({type(error).__name__})")
        else:
            self.checks.probing.pop(hook.id, None)  # its backoff is over
            self.say(f"{total} events of webhook {hook.id} are replayed")

    def stop_replay(self) -> None:
        if hooks := self._touchable():
            hook = self.rng.choice(hooks)
            with transaction() as session:
                replays.stop(session, hook.id)
            self.say(f"a replay of webhook {hook.id} is stopped")
