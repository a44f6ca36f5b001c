import base64
import hmac
import time

TOLERANCE = 300  # seconds; an older request may be a replay


def is_signed(secret, headers, body):
    """Return whether webhook-signature is valid; header names are lower case, the body is bytes."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - float(stamp)) > TOLERANCE:
        return False
    content = f"{headers.get('webhook-id')}.{stamp}.".encode() + body
    digest = hmac.digest(key_of(secret), content, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split(b" ")  # one for each valid secret
    return any(hmac.compare_digest(one, expected) for one in given)


def key_of(secret):
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def is_signed_as_by_cal_com(secret, headers, body):
    """Return whether X-Cal-Signature-256 is valid: the hex HMAC of the body with the secret as it is."""
    expected = hmac.digest(secret.encode(), body, "sha256").hex()
    return hmac.compare_digest(headers.get("x-cal-signature-256", "").encode(), expected.encode())
