import hmac
import os
from urllib.parse import quote

KEY = os.environ["CALAPP_LINK_KEY"]  # lk_…, as it is


def signed_link(base_url, path, metadata, exp=""):
    """Return a signed link; path is user/slug, exp when it expires in seconds since 1970, or empty."""
    pairs = sorted(f"{encoded(f'metadata[{key}]')}={encoded(value)}" for key, value in metadata.items())
    text = f"{path}\n{exp}\n{'&'.join(pairs)}"
    signature = hmac.digest(KEY.encode(), text.encode(), "sha256").hex()
    return f"{base_url}/{path}?" + "&".join([*pairs, *([f"exp={exp}"] if exp else []), f"sig={signature}"])


def encoded(text):
    """Encode a text as JavaScript's encodeURIComponent does."""
    return quote(text, safe="!'()*~")
