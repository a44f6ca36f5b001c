"""What can go wrong, in the app's own words; error_pages.py translates it at the edge."""


class AppError(Exception):
    """Anything the app says no to; the message is a sentence for the person who asked."""

    code = "error"

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.details = details

    @property
    def message(self) -> str:
        """The sentence to show."""
        return str(self.args[0])


class NotFound(AppError):
    """There is nothing at this address."""

    code = "not_found"


class WebhookDeleted(NotFound):
    """This webhook was deleted."""


class NotAllowed(AppError):
    """This is not yours to do."""

    code = "forbidden"


class SignedOut(AppError):
    """Please sign in first."""

    code = "unauthorized"


class Invalid(AppError):
    """Something that was sent cannot be used; `details` names each field and what is wrong with it."""

    code = "invalid"


class LinkRefused(AppError):
    """This booking link is not signed, was changed, or has expired."""

    code = "link_refused"


class NotSupported(Invalid):
    """Something was asked for that this server does not do; `details` names each such field."""

    code = "not_supported"


class Conflict(AppError):
    """This exists already, or has changed in the meantime."""

    code = "conflict"


class LimitReached(Conflict):
    """There may be no more of these; made by limits.reached(), which logs it for the operator."""

    code = "limit_reached"


class SlotTaken(Conflict):
    """This time is no longer available. Please choose another."""

    code = "slot_taken"
    # Contained in the API's message, since clients of Cal.com look for its words.
    theirs = "User either already has booking at this time or is not available"


class OutsideHours(SlotTaken):
    """This time is outside the hours that can be booked. Please choose another."""


class TooSoon(SlotTaken):
    """This time is too soon to be booked. Please choose a later one."""

    theirs = "Event type can't be booked at the \"start\" time provided: it's too soon"


class InThePast(TooSoon):
    """This time has passed. Please choose another."""

    theirs = "Attempting to book a meeting in the past."


class TooFarAhead(SlotTaken):
    """This time is too far ahead to be booked. Please choose an earlier one."""

    theirs = "Event type can't be booked at the \"start\" time provided: it's too far in the future"


class AlreadyBooked(SlotTaken):
    """This form has already booked this time; `uid` is the booking."""

    def __init__(self, uid: str) -> None:
        super().__init__("You have already booked this time with this form.")
        self.uid = uid


class Gone(AppError):
    """What was asked for is no longer kept."""

    code = "gone"


class CursorExpired(Gone):
    """Events behind this cursor are no longer kept; `details` has `oldest`, the cursor to go on from."""

    code = "cursor_expired"


class TooMany(AppError):
    """Too many requests; please wait a moment."""

    code = "too_many_requests"

    def __init__(self, message: str = "", *, retry_after: int = 60, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after  # seconds


class Busy(AppError):
    """The server is busy just now; nothing was lost, please try again."""

    code = "busy"


class KeyDoesNotFit(AppError):
    """A saved secret cannot be read, since SECRET_KEY has changed. Enter it again, or ask the operator."""

    code = "secret_unreadable"
