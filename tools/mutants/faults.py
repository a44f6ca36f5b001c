"""The seeded faults: in a file a text that is there exactly once is replaced by another."""

from dataclasses import dataclass

FOLDER = "calapp/deliveries"


@dataclass(frozen=True)
class Fault:
    """A small patch; it fails loudly when its text is no longer there exactly once."""

    name: str
    module: str
    old: str
    new: str

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.module}.py"

    def applied(self, source: str) -> str:
        """Return the source with this fault."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"{self.name}: its text is {found} times in {self.path}, and must be there once")
        return source.replace(self.old, self.new)


FAULTS = (
    # Claim
    Fault(
        "sends to webhooks that are off",
        "claims",
        'ON = "webhook.active AND webhook.deleted_at IS NULL"',
        'ON = "webhook.deleted_at IS NULL"',
    ),
    Fault(
        "requests are not counted against the limit of a webhook",
        "claims",
        "COUNTED.run(session, id=key, until=begins + timedelta(seconds=seconds))",
        "COUNTED.run(session, id=key, until=begins)",
    ),
    Fault("lease ends at once", "claims", "token=token, until=at + lease)", "token=token, until=at)"),
    Fault(
        "attempts are not counted",
        "claims",
        "attempts = delivery.attempts + 1",
        "attempts = delivery.attempts",
    ),
    Fault("claim is not written", "claims", "claim = :token, attempts", "claim = claim, attempts"),
    Fault(
        "takes what is not due yet",
        "claims",
        "AND state = 'waiting' AND due_at <= :now ORDER BY due_at, id LIMIT :quota)",
        "AND state = 'waiting' AND due_at IS NOT NULL ORDER BY due_at DESC, id LIMIT :quota)",
    ),
    Fault(
        "a probe keeps no other away",
        "claims",
        "UPDATE webhook SET hold_until = :until, probes",
        "UPDATE webhook SET hold_until = hold_until, probes",
    ),
    Fault(
        "sends what has expired",
        "claims",
        "if row.expires_at is not None and row.expires_at <= at:",
        "if row.expires_at is not None and row.expires_at <= at - timedelta(days=9):",
    ),
    Fault(
        "what expires frees nothing",
        "claims",
        "    free_next(session, ids, at)\n",
        "",
    ),
    # Record
    Fault(
        "a lost lease decides",
        "store",
        "WHERE delivery.id = r.id AND delivery.claim = r.claim AND delivery.state = 'waiting'\"",
        "WHERE delivery.id = r.id AND delivery.state = 'waiting'\"",
    ),
    Fault("tries are lost", "store", "tries = delivery.tries + r.counted", "tries = r.counted"),
    Fault(
        "the claim stays",
        "store",
        "due_at = r.due_at, claim = NULL, pressed_at = NULL,",
        "due_at = r.due_at, pressed_at = NULL,",
    ),
    Fault(
        "Send now stays pressed",
        "store",
        "due_at = r.due_at, claim = NULL, pressed_at = NULL,",
        "due_at = r.due_at, claim = NULL,",
    ),
    Fault(
        "late successes are dropped",
        "store",
        "        if one.success:\n            LATE",
        "        if not one.success:\n            LATE",
    ),
    Fault("what is final frees nothing", "store", "    if ended:\n", "    if not ended:\n"),
    Fault(
        "frees the next one attempt too late",
        "store",
        "one.sent.attempts_on_schedule + one.counted >= ATTEMPTS",
        "one.sent.attempts_on_schedule >= ATTEMPTS",
    ),
    Fault(
        "frees the next after the first failure",
        "store",
        "one.sent.attempts_on_schedule + one.counted >= ATTEMPTS_THAT_BLOCK",
        "one.sent.attempts_on_schedule + one.counted >= 1",
    ),
    Fault(
        "a success forgets no failures",
        "store",
        "SET failures = 0, refused",
        "SET failures = failures, refused",
    ),
    Fault("a success ends no backoff", "store", "warnings = 0, hold_until = NULL,", "warnings = 0,"),
    Fault(
        "refused events outlive a success",
        "store",
        "SET failures = 0, refused_events = '', denied_events = '',",
        "SET failures = 0,",
    ),
    Fault(
        "of the failures of a batch one is counted",
        "store",
        "failures = row.failures + run.endpoint",
        "failures = row.failures + min(run.endpoint, 1)",
    ),
    Fault(
        "Send now counts against the webhook",
        "store",
        "(self.outdated or self.sent.pressed)",
        "self.outdated",
    ),
    Fault("the 410 switches nothing off", "store", "OFF.run(session, gone,", "OFF.run(session, [0],"),
    Fault(
        "Retry-After is forgotten by the retry",
        "store",
        "delay = max(delay, response.retry_after or 0)",
        "pass",
    ),
    Fault(
        "a longer Retry-After is shortened",
        "store",
        "asked_until IS NULL OR asked_until < :until",
        "asked_until IS NULL OR asked_until > :until",
    ),
    # Policy
    Fault(
        "gives up one attempt too early",
        "policy",
        "if attempts > len(schedule):",
        "if attempts >= len(schedule):",
    ),
    Fault(
        "backs off for ever longer",
        "policy",
        "return spread(min(max(failing_for, schedule[0]), longest))",
        "return spread(max(failing_for, schedule[0], longest))",
    ),
    Fault(
        "slow refusals are the event's",
        "policy",
        "if status not in REFUSALS or seconds > REFUSES_WITHIN:",
        "if status not in REFUSALS:",
    ),
    Fault(
        "no limit of one endpoint",
        "policy",
        "limit.size = min(limit.size * 2, self.most)",
        "limit.size = limit.size * 2",
    ),
    # Outbox
    Fault("nothing is parked", "outbox", "elif not webhook.active:", "elif webhook.active is None:"),
    Fault(
        "what waits behind another is due",
        "outbox",
        "else webhook.earlier_id:\n            due_at = None",
        "else webhook.earlier_id:\n            pass",
    ),
    Fault(
        "waits behind the first, not the last",
        "outbox",
        "manual AND after_id IS NULL, id DESC LIMIT 1)",
        "manual AND after_id IS NULL, id LIMIT 1)",
    ),
    Fault("triggers are ignored", "outbox", "if trigger in triggers:", "if triggers:"),
    Fault("nobody is woken", "outbox", '    after_commit(session, "wake", wake_workers)\n', ""),
)
