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


class Conflict(AppError):
    """This exists already, or has changed in the meantime."""

    code = "conflict"


class LimitReached(Conflict):
    """There may be no more of these; made by limits.reached(), which logs it for the operator."""

    code = "limit_reached"


class SlotTaken(Conflict):
    """Somebody else has just taken this time. Please choose another."""

    code = "slot_taken"


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
