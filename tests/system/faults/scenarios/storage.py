"""An S3 that fails."""

from __future__ import annotations

import re

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import fault
from tests.system.faults.support.run import Run

_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


def _xml(code: str, message: str) -> bytes:
    return _XML.format(code=code, message=message).encode()


def _fails_with(run: Run, reason: str) -> None:
    run.ends("failed")
    if not re.search(reason, words := run.last_words()):
        raise AssertionError(f"no clear reason: {words}")


@fault(
    "S3 answers 500",
    injected="seven PUTs in a row are answered with InternalError",
    failing_s3=True,
)
def s3_500(case: Case) -> None:
    error = _xml("InternalError", "We encountered an internal error. Please try again.")
    case.s3_proxy.add(method="PUT", path="/s3_500/", status=500, body=error, times=7)
    case.start("chain").ends("success")


@fault("S3 slow", injected="the PUT is answered after 15 s", failing_s3=True)
def s3_slow(case: Case) -> None:
    case.s3_proxy.add(method="PUT", path="/s3_slow/", delay=15, times=1)
    case.start("chain").ends("success")


@fault(
    "S3 denied, then allowed",
    injected="PUTs are answered with AccessDenied until the copy has failed; then it is cleared",
    failing_s3=True,
)
def s3_denied(case: Case) -> None:
    error = _xml("AccessDenied", "Access Denied")
    trouble = case.s3_proxy.add(method="PUT", path="/s3_denied/", status=403, body=error)
    run = case.start("chain")
    _fails_with(
        run,
        r"copy: AirflowFailException: The AWS connection may not do this: could not write s3://.*AccessDenied, HTTP 403",
    )
    case.s3_proxy.end(trouble)
    run.clear("copy")
    run.ends("success")


@fault(
    "Bucket missing, then made",
    injected="the bucket does not exist until the copy has failed; then it is made and the copy cleared",
)
def bucket_missing(case: Case) -> None:
    case.bucket = "made-later"
    run = case.start("chain")
    _fails_with(
        run, r"copy: AirflowFailException: The bucket does not exist: could not use bucket made-later"
    )
    case.stack.s3.client.create_bucket(Bucket=case.bucket)
    run.clear("copy")
    run.ends("success")
