"""The service's refusals."""

from __future__ import annotations

_DEFAULTS: dict[int, tuple[str, str]] = {
    400: ("InvalidParameter", "Required parameter(s) missing or invalid, please check the request parameters."),
    401: ("InvalidApiKey", "Invalid API-key provided."),
    403: ("AccessDenied", "Access denied."),
    404: ("NotFound", "Not found."),
    405: ("MethodNotAllowed", "The request method is not supported."),
    408: ("RequestTimeOut", "Request timed out, please try again later."),
    409: ("Conflict", "Already exists."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    500: ("InternalError", "An internal error has occured, please try again later or contact service support."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable, please try again later."),
    504: ("ResponseTimeout", "The response timed out, please try again later."),
}  # fmt: skip


class ServiceError(Exception):
    """A request that is answered with an error, or a task that fails with one.

    :param code: the service's code.
    :param message: what it says to it.
    :param status: the HTTP status when it answers a request.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @classmethod
    def of_status(cls, status: int, *, code: str | None = None, message: str | None = None) -> ServiceError:
        """Make the error that commonly goes with an HTTP status, with another code or message where given."""
        usual_code, usual_message = _DEFAULTS.get(status, _DEFAULTS[500 if status >= 500 else 400])
        return cls(code or usual_code, message or usual_message, status=status)


def invalid_parameter(message: str) -> ServiceError:
    """Refuse a submission whose body does not fit the model."""
    return ServiceError("InvalidParameter", message)


def invalid_url() -> ServiceError:
    """Refuse a URL that cannot be read or does not lead to an image."""
    return ServiceError(
        "InvalidURL", "The request URL is invalid, make sure the url is correct and is an image."
    )
