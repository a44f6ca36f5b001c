"""A receiver: pip install flask standardwebhooks, then CALAPP_SECRET=whsec_… flask --app receiver run"""

import os

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
webhook = Webhook(os.environ["CALAPP_SECRET"])


@app.post("/hook")
def receive():
    body = request.get_data()  # the raw bytes; JSON that was parsed and serialized again has different bytes
    try:
        event = webhook.verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return "The signature is wrong.\n", 400
    print(event["triggerEvent"], event["payload"]["metadata"].get("user_id"), flush=True)
    return "", 204
