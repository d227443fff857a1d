"""Uploading inputs and downloading results, as from the service's object store."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.account.keys import authorize
from airflow_provider_wanx.simulator.endpoints.answers import answer, base_url
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter
from airflow_provider_wanx.simulator.painting.files import Blob

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def upload_policy(request: Request, account: Account) -> Response:
    """``GET /api/v1/uploads?action=getPolicy``"""
    authorize(request.headers, account)
    model = request.query_params.get("model", "")
    if request.query_params.get("action") != "getPolicy" or not model:
        raise invalid_parameter("action must be getPolicy, and model must be given.")
    account.limits.admit("upload_policy", rate=account.settings.upload_rate, model=model)
    return answer({"data": account.uploads.grant(model=model, host=f"{base_url(request)}/oss")})


async def upload(request: Request, account: Account) -> Response:
    """``POST`` of a file to the temporary store, authorized by its policy alone."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ServiceError(
            code="MalformedPOSTRequest", message="The body of your POST request is not multipart."
        )
    fields: dict[str, str] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                # The object store does not look at what follows the file.
                account.uploads.store(fields, await value.read())
                return Response(status_code=int(fields.get("success_action_status", "204")))
            fields[name] = value
    raise ServiceError(code="InvalidArgument", message="POST requires exactly one file upload per request.")


async def result(request: Request, account: Account) -> Response:
    """``GET`` of a result file, authorized by its signature alone."""
    found = account.results.open(request.path_params["key"], request.query_params)
    response = _partial_content(found.blob, request.headers)
    if request.method == "GET" and response.status_code in (200, 206):
        found.job.downloads += 1
        account.ledger.downloads += 1
    return response


def _partial_content(blob: Blob, headers: Mapping[str, str]) -> Response:
    """Answer a GET or HEAD of a file; several ranges at once are answered with the whole file.

    :param blob: the file.
    :param headers: the request's, for ``Range`` and ``If-Range``.
    """
    size = len(blob.data)
    common = {
        "Content-MD5": blob.content_md5,
        "ETag": blob.etag,
        "Accept-Ranges": "bytes",
        "Server": "AliyunOSS",
    }
    match = _RANGE.fullmatch(headers.get("range", ""))
    same_file = headers.get("if-range", blob.etag) == blob.etag
    if match is None or not same_file or match.groups() == ("", ""):
        return Response(blob.data, media_type=blob.content_type, headers=common)
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(0, size - int(last)), size - 1
    if start >= size or end < start:
        return Response(status_code=416, headers=common | {"Content-Range": f"bytes */{size}"})
    return Response(
        blob.data[start : end + 1],
        status_code=206,
        media_type=blob.content_type,
        headers=common | {"Content-Range": f"bytes {start}-{end}/{size}"},
    )
