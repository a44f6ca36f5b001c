"""Asking for fresh copies when somebody looks for times: after the response, since no page waits for it."""

import logging

from flask import Response, current_app
from sqlalchemy.exc import DBAPIError

from calapp.broker import wake_maintenance
from calapp.calendars import service
from calapp.db import after_commit, db, transaction
from calapp.errors import Busy

log = logging.getLogger(__name__)


def freshen_after(response: Response, host_id: int) -> Response:
    """Have a host's calendars read soon after this response, where their copies are not fresh."""
    if not service.could_be_fresher(db.session(), host_id):
        return response
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for later)

    def ask() -> None:
        with app.app_context():
            try:
                with transaction() as session:
                    if service.freshen(session, host_id):
                        after_commit(session, "wake maintenance", wake_maintenance)
            except (DBAPIError, Busy) as error:  # they are read anyway, some minutes later
                log.debug("Nobody was asked for fresh calendars: %s", type(error).__name__)

    response.call_on_close(ask)
    return response
