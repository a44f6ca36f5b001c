"""Check a delivery, and that a changed one is refused, with standardwebhooks and svix."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as Svix
from svix.webhooks import WebhookVerificationError as SvixError

given = json.load(sys.stdin)
for kind in (Webhook, Svix):
    webhook = kind(given["secret"])
    webhook.verify(given["body"], given["headers"])
    try:
        webhook.verify(given["body"] + " ", given["headers"])
    except (WebhookVerificationError, SvixError):
        continue
    raise SystemExit(f"{kind.__module__} takes a changed body.")
print("standardwebhooks and svix take the delivery, and refuse a changed one.")
