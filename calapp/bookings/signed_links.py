"""Signed links: metadata that nobody has changed since the host, or the host's server, made the link."""

import hmac
import re
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import quote

from sqlalchemy.orm import Session

from calapp.accounts.service import create_link_key, link_keys
from calapp.bookings.metadata import Metadata
from calapp.clock import now
from calapp.encryption import is_same, open_sealed
from calapp.errors import KeyDoesNotFit, LinkRefused
from calapp.event_types.models import EventType

EXPIRY = re.compile("[1-9][0-9]{0,11}")  # seconds since 1970, written in one way
COMPONENT = "!'()*~"  # with letters, digits and _.- what JavaScript's encodeURIComponent leaves as it is


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
LEFT_OUT = {
    Proof.CHANGED: "sig: the signature does not fit this link",
    Proof.EXPIRED: "sig: the link had expired",
}


def pairs_of(metadata: Mapping[str, str]) -> str:
    """Return metadata as the query of a signed link has it: sorted and encoded in one way."""
    pairs = ((f"metadata[{key}]", value) for key, value in metadata.items())
    return "&".join(sorted("=".join(quote(part, safe=COMPONENT) for part in pair) for pair in pairs))


def signed_text(path: str, metadata: Mapping[str, str], exp: str) -> str:
    """Return what is signed: user/slug, the expiry (empty for none) and the metadata, a line each."""
    return f"{path}\n{exp}\n{pairs_of(metadata)}"


def signature(key: str, text: str) -> str:
    """Return the HMAC-SHA256 of a text with a link key, in hex."""
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()


def path_of(event_type: EventType) -> str:
    """Return an event type's user/slug."""
    return f"{event_type.user.username}/{event_type.slug}"


def signed_link(session: Session, event_type: EventType, metadata: Mapping[str, str], exp: str) -> str:
    """Return the path and query of a signed link; the first one makes the host's link key.

    Raises KeyDoesNotFit when the current link key cannot be read.
    """
    keys = link_keys(session, event_type.user_id)
    key = open_sealed(keys[0].sealed_secret) if keys else create_link_key(session, event_type.user_id)[1]
    path = path_of(event_type)
    parts = [pairs_of(metadata), f"exp={exp}" if exp else ""]
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
    text = signed_text(path_of(event_type), link.values, link.exp)
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


def check(session: Session, event_type: EventType, link: Metadata) -> None:
    """Raise LinkRefused when an event type insists on signed metadata and the link's is not."""
    if event_type.require_signed_metadata:
        refuse(event_type, proof_of(session, event_type, link))


def refuse(event_type: EventType, proof: Proof) -> None:
    """Raise LinkRefused unless the link is verified."""
    if proof is not Proof.VERIFIED:
        raise LinkRefused(REFUSED[proof].format(name=event_type.user.name))
