import hmac
from urllib.parse import urlencode

KEY = b"a long random key that only your own servers know"


def booking_link(page, user_id):
    """Return the link for a customer: nobody can change the id in it without being noticed."""
    return f"{page}?{urlencode({'metadata[user]': f'{user_id}.{_signature(user_id)}'})}"


def user_of(event):
    """Return the user id that your own server has put into the link, or None when somebody else wrote it."""
    user_id, _, signature = event["payload"]["metadata"].get("user", "").rpartition(".")
    return user_id if hmac.compare_digest(signature.encode(), _signature(user_id).encode()) else None


def _signature(user_id):
    return hmac.digest(KEY, f"booking link of {user_id}".encode(), "sha256").hex()
