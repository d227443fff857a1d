"""Which pictures are taken, and how bad ones are refused."""

from __future__ import annotations

from tests.conformance.core import DOCUMENTED, OPEN, Facts, NotObservedError, Observation
from tests.conformance.service.pictures import size_of
from tests.conformance.service.tracks import Track
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Exchange

FACTS = Facts()

_MODEL = "model page"
_NEWEST = "model page, newest"


def _taken(track: Track) -> Observation:
    """Whether a task succeeded."""
    last = (track.looks or [track.first])[-1].output
    why = f" {last.get('code', '')}: {last.get('message', '')}" if last["task_status"] != "SUCCEEDED" else ""
    return Observation(last["task_status"] == "SUCCEEDED", f"{last['task_status']}{why}")


def _reason(bad: Track | Exchange) -> tuple[str, str]:
    """The code of a refusal, empty if there was none, and what happened in words."""
    if isinstance(bad, Exchange):
        return str(bad.body["code"]), f"the submission: {bad.refusal}"
    output = bad.looks[-1].output
    if output["task_status"] != "FAILED":
        return "", f"the task: {output['task_status']}"
    code = str(output.get("code") or "without code")
    return code, f"the task: FAILED {code}: {output.get('message', '')}"


def _refused(bad: Track | Exchange, *codes: str) -> Observation:
    code, seen = _reason(bad)
    return Observation(code.startswith(codes) if code else False, seen)


@FACTS.add(
    "picture-oss",
    "a picture in the temporary store is taken, by its oss:// URL and the header X-DashScope-OssResourceResolve",
    DOCUMENTED,
    "temporary-storage page",
)
def _(visit: Visit) -> Observation:
    return _taken(visit.queue.first)


@FACTS.add("picture-base64", "a picture in a data: URL is taken", DOCUMENTED, _NEWEST)
def _(visit: Visit) -> Observation:
    return _taken(visit.queue.second)


@FACTS.add("newer-styles", "styles from 14 on are taken: style 35", DOCUMENTED, _NEWEST)
def _(visit: Visit) -> Observation:
    output = visit.queue.second.look("SUCCEEDED").output
    return Observation(output["style_index"] == 35, f"SUCCEEDED, style_index {output['style_index']}")


@FACTS.add(
    "oss-needs-header",
    "an oss:// URL without that header is refused, or its task fails",
    DOCUMENTED,
    "temporary-storage page",
)
def _(visit: Visit) -> Observation:
    code, seen = _reason(visit.unresolved)
    return Observation(bool(code), seen)


@FACTS.add("no-deduplication", "the same input submitted twice makes two tasks", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    twice = (visit.unreachable, visit.unreachable_again)
    ids = {each.task_id for each in twice if isinstance(each, Track)}
    if not all(isinstance(each, Track) for each in twice):
        raise NotObservedError("bad pictures were refused when they were submitted")
    return Observation(len(ids) == 2, f"{len(ids)} tasks")


@FACTS.add(
    "unreachable-picture", "a picture that cannot be had is refused with InvalidURL…", DOCUMENTED, _MODEL
)
def _(visit: Visit) -> Observation:
    return _refused(visit.unreachable, "InvalidURL")


@FACTS.add(
    "no-picture",
    "a file that is no picture is refused with InvalidURL… or InvalidImageFormat",
    DOCUMENTED,
    _MODEL,
)
def _(visit: Visit) -> Observation:
    return _refused(visit.no_picture, "InvalidURL", "InvalidImageFormat")


@FACTS.add(
    "small-picture",
    "a picture of less than 256 × 256 pixels is refused with InvalidImageResolution",
    DOCUMENTED,
    _MODEL,
)
def _(visit: Visit) -> Observation:
    return _refused(visit.small, "InvalidImageResolution")


@FACTS.add(
    "huge-picture",
    "a picture of more than 5760 × 3240 pixels is refused with InvalidImageResolution",
    DOCUMENTED,
    _MODEL,
)
def _(visit: Visit) -> Observation:
    return _refused(visit.huge, "InvalidImageResolution")


@FACTS.add(
    "gif-picture",
    "a picture that is no JPEG, PNG, BMP or WEBP is refused with InvalidURL… or InvalidImageFormat",
    DOCUMENTED,
    f"{_MODEL}, error-code page",
)
def _(visit: Visit) -> Observation:
    return _refused(visit.gif, "InvalidURL", "InvalidImageFormat")


@FACTS.add("too-large-file", "a file of more than 10 MiB is refused", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    code, seen = _reason(visit.too_large)
    return Observation(bool(code), seen)


@FACTS.add(
    "bad-picture",
    "a bad picture fails the task, not the submission",
    OPEN,
    "model page, both",
    point="bad-picture",
)
def _(visit: Visit) -> Observation:
    bad = {"unreachable": visit.unreachable, "no picture": visit.no_picture, "too small": visit.small}
    places = {
        name: "submission" if isinstance(each, Exchange) else f"task {each.looks[-1].output['task_status']}"
        for name, each in bad.items()
    }
    seen = ", ".join(f"{name}: {place}" for name, place in places.items())
    return Observation(all(place == "task FAILED" for place in places.values()), seen)


@FACTS.add(
    "picture-http-and-reference",
    "a picture at an https address is taken, and style -1 with style_ref_url in a data: URL",
    DOCUMENTED,
    _NEWEST,
)
def _(visit: Visit) -> Observation:
    return _taken(visit.reference)


@FACTS.add(
    "wide-pictures", "a picture of 1.8:1 is taken", OPEN, "model page: 1.5:1 or 2:1", point="wide-pictures"
)
def _(visit: Visit) -> Observation:
    code, seen = _reason(visit.wide)
    if isinstance(visit.wide, Track) and not code:
        output = visit.wide.looks[-1].output
        if output["task_status"] == "SUCCEEDED":
            width, height = _size(visit, output["results"][0]["url"])
            # Cropped to 1.5:1, or in its own shape.
            seen = f"taken; the result has {width} × {height} pixels, {width / height:.2f}:1"
            return Observation(True, seen)
    return Observation(False, seen)


@FACTS.add(
    "ten-megabytes",
    "“10 MB” means 10 MiB: a file of 10,201,062 bytes is taken",
    OPEN,
    _MODEL,
    point="ten-megabytes",
)
def _(visit: Visit) -> Observation:
    seen = visit.large
    return _taken(seen) if isinstance(seen, Track) else Observation(False, f"the submission: {seen.refusal}")


@FACTS.add(
    "picture-formats", "JPEG, WEBP, PNG (as the picture of a style) and BMP are taken", DOCUMENTED, _MODEL
)
def _(visit: Visit) -> Observation:
    tasks = {
        "JPEG": visit.queue.first,
        "WEBP": visit.queue.second,
        "PNG": visit.reference,
        "BMP": visit.large,
    }
    states = {
        kind: each.status if isinstance(each, Track) else f"HTTP {each.status}"
        for kind, each in tasks.items()
    }
    seen = ", ".join(f"{kind} {state}" for kind, state in states.items())
    return Observation(set(states.values()) == {"SUCCEEDED"}, seen)


def _size(visit: Visit, url: str) -> tuple[int, int]:
    found = visit.wire.fetch("GET", url)
    if found.status != 200:
        raise NotObservedError(f"the result could not be downloaded: HTTP {found.status}")
    return size_of(found.content)
