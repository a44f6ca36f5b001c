"""Which of a host's webhooks the integrations page shows: found by words and state, a page at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from calapp.webhooks.models import Webhook

PER_PAGE = 25
STATES = {
    "on": lambda webhook: webhook.active,
    "off": lambda webhook: not webhook.active,
    "failing": lambda webhook: webhook.failures > 0 or webhook.refused_events != "",
}


@dataclass(frozen=True)
class Wanted:
    """What the list shows: an empty field lets everything through."""

    find: str = ""
    state: str = ""
    page: int = 1

    def query(self, page: int) -> str:
        """Return the query of an address that shows another page of the same."""
        given = {"find": self.find, "state": self.state, "page": page if page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})

    def lets_through(self, webhook: Webhook) -> bool:
        """Say whether a webhook is among what is wanted."""
        scope = webhook.event_type.title if webhook.event_type else ""
        found = self.find.lower() in f"{webhook.subscriber_url} {scope}".lower()
        return found and (not self.state or STATES[self.state](webhook))


@dataclass(frozen=True)
class Listing:
    """A page of a host's webhooks, newest first."""

    rows: Sequence[Webhook]
    wanted: Wanted
    total: int  # of the host
    found: int  # of what is wanted
    pages: int

    @property
    def long(self) -> bool:
        """Whether there are so many that a person wants to look for one."""
        return self.total > PER_PAGE


def read_wanted(given: Mapping[str, str]) -> Wanted:
    """Read what is wanted from an address; what cannot be read lets everything through."""
    state, page = given.get("state", ""), given.get("page", "")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1
    return Wanted(given.get("find", "").strip()[:200], state if state in STATES else "", max(1, number))


def listing_of(webhooks: Sequence[Webhook], wanted: Wanted) -> Listing:
    """Choose the page that is wanted, or the last one where there are not so many."""
    found = [webhook for webhook in reversed(webhooks) if wanted.lets_through(webhook)]
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(wanted.page, pages)
    rows = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    return Listing(rows, Wanted(wanted.find, wanted.state, page), len(webhooks), len(found), pages)
