"""Use what openapi-python-client made of the document: list, look for times, book, cancel."""

import json
import sys
from datetime import datetime

given = json.load(sys.stdin)
sys.path.insert(0, given["folder"])

from generated import AuthenticatedClient  # noqa: E402
from generated.api.bookings import bookings_cancel, bookings_create, bookings_index  # noqa: E402
from generated.api.event_types import event_types_index  # noqa: E402
from generated.models import BookingRequest, CancelRequest  # noqa: E402

client = AuthenticatedClient(base_url=given["address"], token=given["key"])
kinds = event_types_index.sync(client=client)
assert given["eventTypeId"] in [one.id for one in kinds.data], kinds
wish = {"start": given["start"], "eventTypeId": given["eventTypeId"], "attendee": given["attendee"]}
booked = bookings_create.sync(client=client, body=BookingRequest.from_dict(wish))
assert booked.data.start == datetime.fromisoformat(given["start"]), booked
found = bookings_index.sync(client=client, attendee_email="ada@example.com", take=250)
assert booked.data.uid in [one.uid for one in found.data]
done = bookings_cancel.sync(
    booked.data.uid, client=client, body=CancelRequest.from_dict({"cancellationReason": "Ill"})
)
assert done.data.status == "cancelled", done
print("The client is made without a warning; it lists, books, finds and cancels.")
