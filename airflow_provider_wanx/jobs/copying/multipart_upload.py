"""Upload what comes in pieces: one request for a small object, parts of equal size for a large one.

boto3's ``upload_fileobj`` does the same for anything that has ``read``. It needs new memory for each part, copies the part
several times and sends it 16 KiB at a time. Here an object has one buffer: pieces are put into it as they come, and boto3
sends it as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PART_BYTES = 8 * 1024 * 1024
"""Size of a part, as boto3's; an object has 10,000 of them at most."""

_PART_ARGUMENTS = frozenset(
    {
        "ChecksumAlgorithm",
        "ExpectedBucketOwner",
        "RequestPayer",
        "SSECustomerAlgorithm",
        "SSECustomerKey",
        "SSECustomerKeyMD5",
    }
)
"""What holds for an object and has to be said with each of its parts."""

_LOG = logging.getLogger(__name__)


def upload(
    client: Any, pieces: Iterable[bytes], *, bucket: str, key: str, arguments: Mapping[str, Any]
) -> None:
    """Put an object under a key, all of it or nothing; an error of ``pieces`` leaves nothing behind either.

    :param client: boto3's S3 client.
    :param pieces: the object's bytes.
    :param arguments: of boto3's ``upload_fileobj``.
    """
    place = {"Bucket": bucket, "Key": key}
    arguments = {**_default_checksum(client), **arguments}
    parts = _parts(pieces)
    first = next(parts)
    if len(first) < PART_BYTES:
        client.put_object(**place, Body=bytes(first), **_known(client, "PutObject", arguments))
        return
    created = client.create_multipart_upload(**place, **_known(client, "CreateMultipartUpload", arguments))
    place["UploadId"] = created["UploadId"]
    try:
        done = [_upload_part(client, place, 1, first, arguments)]
        done += (_upload_part(client, place, number, part, arguments) for number, part in enumerate(parts, 2))
        client.complete_multipart_upload(
            **place, MultipartUpload={"Parts": done}, **_known(client, "CompleteMultipartUpload", arguments)
        )
    except BaseException:
        _abort(client, place)
        raise


def probe(client: Any, *, bucket: str, key: str, arguments: Mapping[str, Any]) -> None:
    """Begin an object, send a part of it, and give it up: what the store does not take shows, and nothing is left.

    :param arguments: of boto3's ``upload_fileobj``.
    """
    place = {"Bucket": bucket, "Key": key}
    arguments = {**_default_checksum(client), **arguments}
    created = client.create_multipart_upload(**place, **_known(client, "CreateMultipartUpload", arguments))
    place["UploadId"] = created["UploadId"]
    try:
        _upload_part(client, place, 1, bytearray(b"probe"), arguments)
    finally:
        _abort(client, place)


def _parts(pieces: Iterable[bytes]) -> Iterator[bytearray]:
    """Put pieces together to parts; each is in the buffer of the one before it. Without any bytes there is one empty part."""
    part, size, is_first = bytearray(), 0, True
    for piece in pieces:
        left = memoryview(piece)
        while left:
            room = PART_BYTES - size
            taken, left = left[:room], left[room:]
            if len(part) < PART_BYTES:
                part += taken
            else:
                with memoryview(part) as buffer:
                    buffer[size : size + len(taken)] = taken
            size += len(taken)
            if size == PART_BYTES:
                yield part
                size, is_first = 0, False
    if size or is_first:
        del part[size:]
        yield part


def _upload_part(
    client: Any, place: Mapping[str, str], number: int, part: bytearray, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    own = {name: value for name, value in arguments.items() if name in _PART_ARGUMENTS}
    answer = client.upload_part(**place, PartNumber=number, Body=part, **own)
    checksum = f"Checksum{arguments.get('ChecksumAlgorithm', '')}"
    checksums = {checksum: answer[checksum]} if checksum in answer else {}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def _abort(client: Any, place: Mapping[str, str]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.abort_multipart_upload(**place)
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchUpload":
            # An earlier try of this request has arrived, and only its answer was lost.
            return
        # What has made the upload fail is what the user has to know.
        _LOG.warning("Parts of s3://%s/%s are left in the bucket: %s", place["Bucket"], place["Key"], error)


def _known(client: Any, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Take the arguments that an operation has; some are for the beginning of an upload and some for its end."""
    known = client.meta.service_model.operation_model(operation).input_shape.members
    return {name: value for name, value in arguments.items() if name in known}


def _default_checksum(client: Any) -> dict[str, str]:
    # An upload in parts keeps their checksums only if it was announced at its beginning; older versions of boto3 make none.
    is_usual = getattr(client.meta.config, "request_checksum_calculation", None) == "when_supported"
    return {"ChecksumAlgorithm": "CRC32"} if is_usual else {}
