"""The temporary store for inputs, and the store of results."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from airflow_provider_wanx.dashscope.models import CHINA_TIME
from tests.conformance.core import DOCUMENTED, RECORDED, Facts, Observation
from tests.conformance.service.visit import Visit

UPLOADS, RESULTS = Facts(), Facts()

_STORE = "temporary-storage page"
_POLICY = "cnblogs/dashscope-sdk, get-upload-policy"
_FIELDS = {
    "policy", "signature", "upload_dir", "upload_host", "expire_in_seconds", "max_file_size_mb", "capacity_limit_mb",
    "oss_access_key_id", "x_oss_object_acl", "x_oss_forbid_overwrite",
}  # fmt: skip


@UPLOADS.add("upload-policy", "the policy stands in data, with its ten fields", RECORDED, _POLICY)
def _(visit: Visit) -> Observation:
    data = visit.policy.body["data"]
    missing = sorted(_FIELDS - data.keys())
    return Observation(not missing, f"without {', '.join(missing)}" if missing else "all ten fields")


@UPLOADS.add(
    "upload-policy-values",
    "a policy is good for 300 seconds, private, without overwriting, in a folder below dashscope-instant/",
    RECORDED,
    _POLICY,
)
def _(visit: Visit) -> Observation:
    data = visit.policy.body["data"]
    seen = (data["expire_in_seconds"], data["x_oss_object_acl"], data["x_oss_forbid_overwrite"])
    folder = data["upload_dir"].partition("/")[0]
    return Observation(
        seen == (300, "private", "true") and folder == "dashscope-instant",
        f"{seen[0]} seconds, {seen[1]}, no overwriting: {seen[2]}, folder {folder}/",
    )


@UPLOADS.add("upload-policy-base64", "the policy is base64 of a JSON object", RECORDED, _POLICY)
def _(visit: Visit) -> Observation:
    document = json.loads(base64.b64decode(visit.policy.body["data"]["policy"], validate=True))
    return Observation(isinstance(document, dict), f"an object of {', '.join(sorted(document))}")


@UPLOADS.add(
    "upload-answer",
    "an upload with the policy's fields and without the key is answered with HTTP 200 and nothing",
    DOCUMENTED,
    _STORE,
)
def _(visit: Visit) -> Observation:
    seen = visit.uploaded
    return Observation(
        seen.status == 200 and not seen.content, f"HTTP {seen.status}, {len(seen.content)} bytes"
    )


@UPLOADS.add("upload-once", "a second upload of the same name is refused", RECORDED, _POLICY)
def _(visit: Visit) -> Observation:
    seen = visit.uploaded_twice
    return Observation(seen.status >= 400, f"HTTP {seen.status} {_code(seen.content)}")


@UPLOADS.add("upload-private", "an uploaded file cannot be downloaded", DOCUMENTED, _STORE)
def _(visit: Visit) -> Observation:
    host, key = visit.policy.body["data"]["upload_host"], visit.oss_url.removeprefix("oss://")
    seen = visit.wire.fetch("GET", f"{host}/{key}")
    return Observation(seen.status >= 400, f"HTTP {seen.status} {_code(seen.content)}")


@UPLOADS.add("upload-bad-signature", "an upload with another signature is refused", DOCUMENTED, _STORE)
def _(visit: Visit) -> Observation:
    unsigned = {**visit.policy.body["data"], "signature": "bm90IHNpZ25lZA=="}
    seen = visit.put("unsigned.txt", b"no", unsigned)
    return Observation(seen.status == 403, f"HTTP {seen.status} {_code(seen.content)}")


_SUCCESS = "cnblogs/dashscope-sdk, get-task-image-generation-success"


@RESULTS.add(
    "result-signed",
    "a result's address carries Expires, OSSAccessKeyId and Signature",
    RECORDED,
    _SUCCESS,
    point="result-signed",
)
def _(visit: Visit) -> Observation:
    names = _query(visit)
    missing = sorted({"Expires", "OSSAccessKeyId", "Signature"} - names.keys())
    return Observation(not missing, f"without {', '.join(missing)}" if missing else "all three")


@RESULTS.add(
    "result-expires",
    "a result's address is good until 86,400 seconds after the end of the task",
    RECORDED,
    _SUCCESS,
    point="result-signed",
)
def _(visit: Visit) -> Observation:
    ended = datetime.fromisoformat(visit.success.output["end_time"]).replace(tzinfo=CHINA_TIME).timestamp()
    seconds = int(_query(visit)["Expires"]) - int(ended)
    return Observation(seconds == 86_400, f"{seconds:,} seconds after the end")


@RESULTS.add(
    "result-name",
    "a result is named viapi-video/<date>/<uuid>/<time>_style<number>_<random>.jpg",
    RECORDED,
    _SUCCESS,
)
def _(visit: Visit) -> Observation:
    path = urlsplit(visit.result_url).path
    found = re.search(r"/viapi-video/(\d{4}-\d\d-\d\d|\d{8})/[0-9a-f-]{36}/\d+_style3_[^/]+\.jpg$", path)
    shown = re.sub(r"[0-9a-f-]{36}", "<uuid>", "/".join(path.split("/")[-4:-1]))
    return Observation(found is not None, f"{shown}/…{path[-4:]}")


@RESULTS.add(
    "result-download",
    "a result can be downloaded without the key, and is a picture",
    DOCUMENTED,
    "model page",
)
def _(visit: Visit) -> Observation:
    width, height = visit.result_size
    return Observation(
        visit.result.status == 200, f"{len(visit.result.content):,} bytes, {width} × {height} pixels"
    )


@RESULTS.add("result-short-side", "the short side of a result has 1536 pixels", DOCUMENTED, "model page")
def _(visit: Visit) -> Observation:
    width, height = visit.result_size
    return Observation(min(width, height) == 1536, f"{width} × {height} pixels")


@RESULTS.add(
    "result-needs-signature",
    "without its query, a result's address is refused",
    RECORDED,
    _SUCCESS,
    point="result-signed",
)
def _(visit: Visit) -> Observation:
    seen = visit.wire.fetch("GET", visit.result_url.partition("?")[0])
    return Observation(seen.status in (401, 403), f"HTTP {seen.status} {_code(seen.content)}")


@RESULTS.add(
    "result-scheme", "a result's address begins with https:// on the service's hosts", RECORDED, _SUCCESS
)
def _(visit: Visit) -> Observation:
    wanted = urlsplit(visit.target.config.base_url).scheme
    scheme = urlsplit(visit.result_url).scheme
    return Observation(scheme == wanted, f"{scheme}://, the service itself {wanted}://")


@RESULTS.add(
    "result-place", "results are at output.results[0].url, not at output.result_url", RECORDED, _SUCCESS
)
def _(visit: Visit) -> Observation:
    output = visit.success.output
    url = output["results"][0]["url"]
    return Observation(
        url.startswith("http") and "result_url" not in output,
        f"results[0] with {', '.join(sorted(output['results'][0]))}",
    )


@RESULTS.add(
    "duration",
    "a portrait is done within a minute of its start (documented: about 15 seconds; recorded: 8)",
    DOCUMENTED,
    "model page, newest",
)
def _(visit: Visit) -> Observation:
    output = visit.success.output
    started, ended = (datetime.fromisoformat(output[name]) for name in ("scheduled_time", "end_time"))
    seconds = (ended - started).total_seconds()
    return Observation(-1 <= seconds <= 60, f"{max(0.0, seconds):.0f} seconds")


@RESULTS.add(
    "date-header",
    "answers carry a Date header, in GMT, of the present time",
    RECORDED,
    "cnblogs/dashscope-sdk, all recordings",
    point="list-date-header",
)
def _(visit: Visit) -> Observation:
    seen = visit.unknown_task
    behind = seen.sent_at + seen.took - seen.date
    # The clock of this machine may be wrong, but not by minutes.
    return Observation(abs(behind) < 120, f"{behind:+.0f} seconds from this machine's clock")


def _query(visit: Visit) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(visit.result_url).query).items()}


def _code(content: bytes) -> str:
    found = re.search(rb"<Code>(\w+)</Code>", content) or re.search(rb'"code":\s*"([\w.]+)"', content)
    return found[1].decode() if found else ""
