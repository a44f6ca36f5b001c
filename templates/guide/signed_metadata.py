import hmac
from urllib.parse import urlencode

KEY = b"a long random key that only your own servers know"


def booking_link(page, user_id):
    """Return the link for a customer: changes to the ID in it are detected."""
    return f"{page}?{urlencode({'metadata[user]': f'{user_id}.{_signature(user_id)}'})}"


def user_of(event):
    """Return the user ID that your server put into the link, or None if it is not signed by your server."""
    user_id, _, signature = event["payload"]["metadata"].get("user", "").rpartition(".")
    return user_id if hmac.compare_digest(signature.encode(), _signature(user_id).encode()) else None


def _signature(user_id):
    return hmac.digest(KEY, f"booking link of {user_id}".encode(), "sha256").hex()
