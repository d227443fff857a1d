"""What one run against the service cannot show, with the reason. Names are those of ``docs/service.md`` where it has one."""

from __future__ import annotations

from tests.conformance.core import Known

POINTS_NOT_OBSERVABLE: dict[str, tuple[Known, str]] = {
    "queue-full": (
        Known.OPEN,
        "the queue would have to be filled, with tasks that cost money or block the account for hours",
    ),
    "kept-from": (Known.OPEN, "takes two tasks and more than 24 hours"),
    "english-styles": (Known.OPEN, "no answer of the service names a style"),
    "queue-timeout": (Known.DOCUMENTED, "takes a task that waits for 3 hours"),
    "retention": (Known.DOCUMENTED, "takes 24 hours"),
}
"""Points of ``docs/service.md``."""

FACTS_NOT_OBSERVABLE: dict[str, str] = {
    "price": "the bill is no answer of the service; the report counts the images that the answers count",
    "free-quota": "the bill is no answer of the service",
    "foreign-task": "takes a second account",
    "list-other-keys": "takes a second key of the account",
    "sub-account-workspace": "takes a key of a sub-account",
    "region-bound-keys": "the key is sent to no host but its own",
    "list-day": "that the list goes back 24 hours takes a task that is older",
    "non-ascii-url": "takes a picture at a public address with Chinese characters",
    "partial-failure": "this model makes one picture only",
    "failed-algorithm": "takes a picture on which the model fails",
    "no-face": "a picture without a face may cost an image",
    "content-policy": "no such picture is sent",
    "upload-policy-expiry": "takes five minutes",
    "upload-lifetime": "takes 48 hours",
    "upload-for-other-model": "costs an image if the service does not mind",
    "announced-ends": "no end of a model is announced",
    "upload-names": "a picture under another extension may cost an image; the error page tells of such refusals",
    "long-data-urls": "a picture whose data: URL is longer than 10 MB may cost an image; other models refuse it",
    "upload-rate": "100 policies a second are more than one client should ask for",
    "result-expired": "takes 24 hours",
    "billing-refusals": "takes an account in debt, or without the service",
    "server-errors": "HTTP 5xx cannot be brought about",
    "retired-model": "takes a model that is retired",
    "completion-events": "are sent to EventBridge, and not to a client",
    "short-lived-keys": "a key would be made with which others could pay",
    "other-models": "cost more; the local DashScope imitates their answers as recorded",
}
"""What the service's pages tell beside them."""
