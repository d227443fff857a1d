"""Serving a file, whole or in part."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response

from airflow_provider_wanx.simulator.blobs import Blob

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def partial_content(blob: Blob, headers: Mapping[str, str]) -> Response:
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
