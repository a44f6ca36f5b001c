"""What a booking link carries: metadata, as `metadata[key]=value`, its campaign, and its signature.

A signed link has metadata that nobody has changed since the host, or the host's server, made it.
"""

import hmac
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.service import create_link_key, link_keys
from calapp.clock import now
from calapp.encryption import is_same, open_sealed
from calapp.errors import KeyDoesNotFit, LinkRefused
from calapp.event_types.models import EventType
from calapp.text import clean, line

MAX_KEYS = 50
MAX_KEY = 40  # characters
MAX_VALUE = 500  # characters
KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")
FIELD = re.compile(r"metadata\[(.*)\]", re.DOTALL)
MAX_LEFT_OUT = 200  # reasons that are kept
MAX_REASON = 160  # characters
LEFT_OUT = "left_out"  # the field in which the pages of the booker pass on what an earlier one left out
PROOF = ("exp", "sig")  # of a signed link: until when it is valid, and its signature
MAX_PROOF = 100  # characters
TRACKING = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")

Pairs = Sequence[tuple[str, str]]
EXPIRY = re.compile("[1-9][0-9]{0,11}")  # seconds since 1970, written in one way
COMPONENT = "!'()*~"  # with letters, digits and _.- what JavaScript's encodeURIComponent leaves as it is


@dataclass(frozen=True)
class Metadata:
    """The entries that were taken, for each that was left out the reason, and what a signed link adds."""

    values: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    exp: str = ""
    sig: str = ""
    tracking: Mapping[str, str] = field(default_factory=dict)  # the fields of TRACKING that are not empty


NO_METADATA = Metadata()


def is_of_link(name: str) -> bool:
    """Return whether a field is one that `of_pairs` reads."""
    return name.startswith("metadata") or name in {LEFT_OUT, *PROOF, *TRACKING}


def of_pairs(pairs: Pairs) -> Metadata:
    """Read metadata from a link's or form's fields; what is malformed or too much is left out."""
    values: dict[str, str] = {}
    proof: dict[str, str] = {}
    tracking: dict[str, str] = {}
    left_out: list[str] = []
    for name, given in pairs:
        if name == LEFT_OUT and len(left_out) < limits.LEFT_OUT_ENTRIES:
            left_out.append(line(given)[:MAX_REASON])
        if name in PROOF and proof.setdefault(name, given[:MAX_PROOF]) != given[:MAX_PROOF]:
            left_out.append(f"{name}: listed twice; the first value was kept")
        # Of a campaign the first value counts, cut where it is too long.
        if name in TRACKING and (value := line(given)[:MAX_VALUE]):
            tracking.setdefault(name, value)
        if not name.startswith("metadata"):
            continue
        match, value = FIELD.fullmatch(name), clean(given)
        problem = _problem(match[1] if match else None, value, values)
        if problem:
            left_out.append(f"{line(name)[:80]}: {problem}")
        elif match:
            values[match[1]] = value
    return Metadata(values, tuple(left_out[:MAX_LEFT_OUT]), **proof, tracking=tracking)


def _problem(key: str | None, value: str, values: Mapping[str, str]) -> str | None:
    if key is None:
        return "not of the form metadata[key]"
    if not KEY.fullmatch(key):
        return "a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"
    if key in values:
        return "the key is listed twice; the first value was kept"
    if len(value) > MAX_VALUE:
        return f"the value is longer than {MAX_VALUE} characters"
    if len(values) >= MAX_KEYS:
        return f"more than {MAX_KEYS} entries"
    return None


def carried(metadata: Metadata) -> list[tuple[str, str]]:
    """Return the fields that carry metadata to the next page: what was taken, and why the rest was not."""
    taken = [(f"metadata[{key}]", value) for key, value in metadata.values.items()]
    taken += [(name, value) for name in PROOF if (value := getattr(metadata, name))]
    taken += metadata.tracking.items()
    return [*taken, *((LEFT_OUT, reason) for reason in metadata.left_out[: limits.LEFT_OUT_ENTRIES])]


def merged(kept: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Add a reschedule link's new keys to a booking's; those that are there keep their value."""
    together = dict(kept)
    for key, value in added.items():
        if key not in together and len(together) < MAX_KEYS:
            together[key] = value
    return together


# Cal.com's own sentence, which clients may look for.
LIMITS = (
    "Metadata must have at most 50 keys, each key up to 40 characters, "
    "and string values up to 500 characters."
)
ABOUT_KEYS = f"{LIMITS} A key has the characters A-Z a-z 0-9 _ . - only."


def checked(given: dict[str, Any]) -> dict[str, str]:
    """Make the values texts, as they are from a link; refuse what a link leaves out."""
    texts = {key: _text(value) for key, value in given.items()}
    if len(texts) > MAX_KEYS or any(len(key) > MAX_KEY for key in texts):
        raise ValueError(LIMITS)
    if any(not KEY.fullmatch(key) for key in texts):
        raise ValueError(ABOUT_KEYS)
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise ValueError(LIMITS)
    text = clean(str(value).lower() if isinstance(value, bool) else str(value))
    if len(text) > MAX_VALUE:
        raise ValueError(LIMITS)
    return text


class Proof(StrEnum):
    """What a link's signature says about its metadata."""

    UNSIGNED = "unsigned"
    VERIFIED = "verified"
    CHANGED = "changed"
    EXPIRED = "expired"


REFUSED = {
    Proof.UNSIGNED: "This booking link is not signed. Please use the link that {name} sent you.",
    Proof.CHANGED: "This booking link was changed, or is no longer valid. Please ask {name} for a new one.",
    Proof.EXPIRED: "This booking link has expired. Please ask {name} for a new one.",
}
# What the host reads on the page of a booking whose link was signed in vain.
IN_VAIN = {
    Proof.CHANGED: "sig: the signature does not fit this link",
    Proof.EXPIRED: "sig: the link had expired",
}


def signed_query(metadata: Mapping[str, str]) -> str:
    """Return metadata as the query of a signed link has it: sorted and encoded in one way."""
    pairs = ((f"metadata[{key}]", value) for key, value in metadata.items())
    return "&".join(sorted("=".join(quote(part, safe=COMPONENT) for part in pair) for pair in pairs))


def signed_text(path: str, metadata: Mapping[str, str], exp: str) -> str:
    """Return what is signed: user/slug, the expiry (empty for none) and the metadata, a line each."""
    return f"{path}\n{exp}\n{signed_query(metadata)}"


def signature(key: str, text: str) -> str:
    """Return the HMAC-SHA256 of a text with a link key, in hex."""
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()


def signed_path(event_type: EventType) -> str:
    """Return an event type's user/slug."""
    return f"{event_type.user.username}/{event_type.slug}"


def signed_link(session: Session, event_type: EventType, metadata: Mapping[str, str], exp: str) -> str:
    """Return the path and query of a signed link; the first one makes the host's link key.

    Raises KeyDoesNotFit when the current link key cannot be read.
    """
    keys = link_keys(session, event_type.user_id)
    key = open_sealed(keys[0].sealed_secret) if keys else create_link_key(session, event_type.user_id)[1]
    path = signed_path(event_type)
    parts = [signed_query(metadata), f"exp={exp}" if exp else ""]
    parts.append(f"sig={signature(key, signed_text(path, metadata, exp))}")
    return f"/{path}?{'&'.join(filter(None, parts))}"


def proof_of(session: Session, event_type: EventType, link: Metadata) -> Proof:
    """Check a link's signature against the host's keys; one that cannot be read verifies nothing.

    What was left out of the metadata was not in the link that was signed, or has been added to it.
    """
    if not link.sig:
        return Proof.UNSIGNED
    if link.left_out or (link.exp and not EXPIRY.fullmatch(link.exp)):
        return Proof.CHANGED
    text = signed_text(signed_path(event_type), link.values, link.exp)
    expected = []
    for key in link_keys(session, event_type.user_id):
        try:
            expected.append(signature(open_sealed(key.sealed_secret), text))
        except KeyDoesNotFit:
            continue
    matches = [is_same(one, link.sig) for one in expected]  # all of them, so that it always takes as long
    if not any(matches):
        return Proof.CHANGED
    return Proof.EXPIRED if link.exp and int(link.exp) <= now().timestamp() else Proof.VERIFIED


def check_proof(session: Session, event_type: EventType, link: Metadata) -> None:
    """Raise LinkRefused when an event type insists on signed metadata and the link's is not."""
    if event_type.require_signed_metadata:
        refuse_unproved(event_type, proof_of(session, event_type, link))


def refuse_unproved(event_type: EventType, proof: Proof) -> None:
    """Raise LinkRefused unless the link is verified."""
    if proof is not Proof.VERIFIED:
        raise LinkRefused(REFUSED[proof].format(name=event_type.user.name))
