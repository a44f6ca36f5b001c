"""The API of schedules, in the shape of Cal.com's of version 2024-06-11."""

from calapp.accounts.guards import READ, WRITE, current_host
from calapp.availability import service
from calapp.availability.models import Schedule
from calapp.availability.schemas import ScheduleBody, SchedulePatch, ScheduleResponse, shown
from calapp.availability.service import own_schedule
from calapp.db import db, transaction
from calapp.errors import NotFound
from calapp.rest.routes import Api

blueprint = Api("schedules_api", tag="Schedules")

ONE = "/v2/schedules/<int:schedule_id>"


@blueprint.operation("GET", "/v2/schedules", access=READ, response=list[ScheduleResponse])
def index() -> list[ScheduleResponse]:
    """List your schedules, the default one first."""
    return [_shown(one) for one in service.schedules_of(db.session(), current_host())]


@blueprint.operation(
    "POST",
    "/v2/schedules",
    access=WRITE,
    response=ScheduleResponse,
    status=201,
    body=ScheduleBody,
    errors=(409,),
)
def create(body: ScheduleBody) -> ScheduleResponse:
    """Create a schedule."""
    with transaction() as session:
        made = service.create_schedule(session, current_host(), body)
    return _shown(made)


@blueprint.operation("GET", "/v2/schedules/default", access=READ, response=ScheduleResponse)
def show_default() -> ScheduleResponse:
    """Show your default schedule."""
    schedule_id = current_host().default_schedule_id
    if schedule_id is None:
        raise NotFound
    return _shown(own_schedule(schedule_id))


@blueprint.operation("GET", ONE, access=READ, response=ScheduleResponse)
def show(schedule_id: int) -> ScheduleResponse:
    """Show a schedule."""
    return _shown(own_schedule(schedule_id))


@blueprint.operation("PATCH", ONE, access=WRITE, response=ScheduleResponse, body=SchedulePatch, errors=(409,))
def update(schedule_id: int, body: SchedulePatch) -> ScheduleResponse:
    """Update a schedule. Omitted fields keep their value; lists are replaced as a whole."""
    with transaction() as session:
        schedule = own_schedule(schedule_id)
        service.update_schedule(session, schedule, body)
    return _shown(schedule)


@blueprint.operation("DELETE", ONE, access=WRITE, response=ScheduleResponse, errors=(409,))
def delete(schedule_id: int) -> ScheduleResponse:
    """Delete a schedule. Its event types get the default one, which itself cannot be deleted (409)."""
    with transaction() as session:
        schedule = own_schedule(schedule_id)
        gone = _shown(schedule)
        service.delete_schedule(session, schedule)
    return gone


def _shown(schedule: Schedule) -> ScheduleResponse:
    return shown(schedule, service.hours_of(db.session(), schedule.user, schedule.id))
