"""The list of the account's tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wanx.dashscope.models import CHINA_TIME
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from tests.conformance.core import DOCUMENTED, OPEN, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.facts.rows import own_row
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Exchange

FACTS = Facts()

_PAGE = "task-management page"
_LIST = "cnblogs/dashscope-sdk, list-task"
_MOST_PAGES = 20


def _known_tasks(visit: Visit) -> list[str]:
    refused = [track.refused for track in visit.queue.tracks if track.refused]
    if refused:
        raise NotObservedError(refused[0])
    return [track.task_id for track in visit.queue.tracks]


def _rows(visit: Visit, **query: Any) -> list[dict[str, Any]]:
    """All rows of a filter, page by page, as far as is reasonable."""
    rows: list[dict[str, Any]] = []
    for number in range(1, _MOST_PAGES + 1):
        page = visit.wire.list(page_no=number, page_size=100, **query).body["data"]
        rows += page
        if len(page) < 10:
            break
    return rows


def _listed(visit: Visit, **query: Any) -> list[bool]:
    """Which of the three tasks of this visit a filter shows."""
    known = _known_tasks(visit)
    shown = {row["task_id"] for row in _rows(visit, **query)}
    return [task_id in shown for task_id in known]


@FACTS.add(
    "list-addresses", "the list answers at /tasks and at /tasks/", DOCUMENTED, f"{_PAGE}, official SDK"
)
def _(visit: Visit) -> Observation:
    statuses = [visit.wire.send("GET", path).status for path in ("/tasks", "/tasks/")]
    return Observation(statuses == [200, 200], f"HTTP {statuses[0]}, {statuses[1]}")


@FACTS.add(
    "list-flat", "its answer has data at the top level, and no output", RECORDED, _LIST, point="list-rows"
)
def _(visit: Visit) -> Observation:
    body = visit.plain_list.body
    return Observation(isinstance(body["data"], list) and "output" not in body, ", ".join(sorted(body)))


@FACTS.add(
    "list-total",
    "it says how many rows there are: total is no smaller than what a page shows",
    RECORDED,
    _LIST,
    point="list-total",
)
def _(visit: Visit) -> Observation:
    body = visit.plain_list.body
    total = body["total"]
    return Observation(
        isinstance(total, int) and total >= len(body["data"]) > 0, f"total {total}, {len(body['data'])} rows"
    )


@FACTS.add(
    "list-page-fields",
    "it has total_page, page_no and page_size, and total_page is total by page_size",
    RECORDED,
    _LIST,
    point="list-page-fields",
)
def _(visit: Visit) -> Observation:
    body = visit.plain_list.body
    pages = -(-body["total"] // body["page_size"])
    return Observation(
        body["page_no"] == 1 and body["total_page"] == pages,
        f"total {body['total']}, total_page {body['total_page']}, page_no {body['page_no']}, page_size {body['page_size']}",
    )


@FACTS.add("list-default-page", "without page_size, a page has 10 rows", DOCUMENTED, _PAGE)
def _(visit: Visit) -> Observation:
    body = visit.plain_list.body
    return Observation(body["page_size"] == 10 and len(body["data"]) <= 10, f"page_size {body['page_size']}")


@FACTS.add(
    "list-page-no",
    "page_no leads to further rows: page 2 has others than page 1",
    DOCUMENTED,
    _PAGE,
    point="list-page-no",
)
def _(visit: Visit) -> Observation:
    first, second = (page.body["data"] for page in _single_rows(visit)[:2])
    ids = [row["task_id"] for row in (*first, *second)]
    return Observation(len(ids) == 2 and len(set(ids)) == 2, f"{len(set(ids))} tasks on two pages of one row")


def _single_rows(visit: Visit) -> list[Exchange]:
    """The first pages of one row each."""
    visit.queue  # noqa: B018 - there have to be tasks
    return [visit.wire.list(page_no=number, page_size=1, model_name=REPAINT_MODEL) for number in (1, 2, 3)]


@FACTS.add(
    "list-moving-rows",
    "while nothing changes, no row is on two pages",
    OPEN,
    "no document",
    point="list-moving-rows",
)
def _(visit: Visit) -> Observation:
    for _ in range(4):
        ids = [row["task_id"] for page in _single_rows(visit) for row in page.body["data"]]
        if len(ids) < 3 or len(set(ids)) < 3:
            return Observation(False, f"{len(set(ids))} tasks on three pages of one row")
    return Observation(True, "three tasks on three pages of one row, four times")


@FACTS.add("list-order", "the newest task comes first", OPEN, "no document", point="list-order")
def _(visit: Visit) -> Observation:
    visit.queue  # noqa: B018 - there have to be tasks
    created = [row["gmt_create"] for row in visit.wire.list(page_size=10).body["data"]]
    if len(created) < 2:
        raise NotObservedError("the list shows less than two tasks")
    newest, oldest = created == sorted(created, reverse=True), created == sorted(created)
    seen = "newest first" if newest else "oldest first" if oldest else "neither newest nor oldest first"
    return Observation(newest, f"{seen}, by gmt_create of {len(created)} rows")


@FACTS.add(
    "list-lateness",
    "a task is in the list as soon as its submission is answered",
    OPEN,
    "no document",
    point="list-lateness",
)
def _(visit: Visit) -> Observation:
    late = [track.listed_after for track in visit.queue.tracks if not track.refused]
    first = [row is not None and row < 1 for row in late]
    words = ", ".join("not at all" if each is None else f"{each:.1f} s" for each in late)
    return Observation(all(first), f"in the list after at most {words}")


@FACTS.add(
    "list-end-lateness",
    "the list shows a task's end as soon as the task itself does",
    OPEN,
    "no document",
    point="list-lateness",
)
def _(visit: Visit) -> Observation:
    late = visit.queue.ended_listed_after
    return Observation(
        late is not None and late < 1, "not within 10 s" if late is None else f"after {late:.1f} s"
    )


@FACTS.add("list-largest-page", "100 rows may be asked for", OPEN, "no document", point="list-largest-page")
def _(visit: Visit) -> Observation:
    seen = {size: visit.wire.list(page_size=size) for size in (100, 1000)}
    told = "; ".join(
        f"{size} asked for: page_size {page.body.get('page_size')}, {len(page.body['data'])} rows"
        if page.status == 200
        else f"{size} asked for: {page.refusal}"
        for size, page in seen.items()
    )
    hundred = seen[100]
    if hundred.status != 200:
        return Observation(False, told)
    rows, total = len(hundred.body["data"]), hundred.body.get("total")
    # Fewer rows than there are would show a smaller largest page, whatever page_size says.
    whole = total is None or rows == min(100, total)
    return Observation(whole and hundred.body.get("page_size", 100) == 100, told)


@FACTS.add(
    "list-status-filter",
    "status shows tasks of one state only",
    DOCUMENTED,
    _PAGE,
    point="list-status-filter",
)
def _(visit: Visit) -> Observation:
    shown = [_listed(visit, status=status) for status in ("SUCCEEDED", "CANCELED", "FAILED")]
    return Observation(
        shown == [[True, True, False], [False, False, True], [False, False, False]],
        f"SUCCEEDED {sum(shown[0])}, CANCELED {sum(shown[1])}, FAILED {sum(shown[2])} of two, one and none",
    )


@FACTS.add(
    "list-model-filter",
    "model_name shows tasks of one model only",
    DOCUMENTED,
    _PAGE,
    point="list-model-filter",
)
def _(visit: Visit) -> Observation:
    own, other = _listed(visit, model_name=REPAINT_MODEL), _listed(visit, model_name="wanx-v1")
    return Observation(all(own) and not any(other), f"{sum(own)} of 3 of this model, {sum(other)} of another")


@FACTS.add("list-task-filter", "task_id shows one task only", DOCUMENTED, _PAGE)
def _(visit: Visit) -> Observation:
    wanted = visit.queue.first.task_id
    ids = [row["task_id"] for row in visit.wire.list(task_id=wanted).body["data"]]
    return Observation(ids == [wanted], f"{len(ids)} rows")


@FACTS.add(
    "list-sdk-filters",
    "region and api_key_id, as the SDK sends them, show the tasks of that region and key",
    DOCUMENTED,
    "official SDK",
)
def _(visit: Visit) -> Observation:
    row = own_row(visit)
    shown = {name: all(_listed(visit, **{name: row[name]})) for name in ("region", "api_key_id")}
    return Observation(
        all(shown.values()),
        ", ".join(f"{name}: {'found' if yes else 'not found'}" for name, yes in shown.items()),
    )


def _span(visit: Visit, zone: Any) -> dict[str, str]:
    """Five minutes around the first submission, written in a zone."""
    created = datetime.fromisoformat(visit.success.output["submit_time"]).replace(tzinfo=CHINA_TIME)
    return {
        name: (created + minutes).astimezone(zone).strftime("%Y%m%d%H%M%S")
        for name, minutes in (("start_time", timedelta(minutes=-5)), ("end_time", timedelta(minutes=5)))
    }


@FACTS.add(
    "list-time-filter",
    "start_time and end_time are China time",
    OPEN,
    "task-management page, without a zone",
    point="list-time-filter",
)
def _(visit: Visit) -> Observation:
    shown = {
        zone: _listed(visit, **_span(visit, tz))[0] for zone, tz in (("China", CHINA_TIME), ("UTC", UTC))
    }
    seen = ", ".join(f"{zone} time: {'found' if found else 'not found'}" for zone, found in shown.items())
    return Observation(shown == {"China": True, "UTC": False}, seen)


@FACTS.add(
    "list-half-spans", "with one of start_time and end_time, the other is 24 hours away", DOCUMENTED, _PAGE
)
def _(visit: Visit) -> Observation:
    span = _span(visit, CHINA_TIME)
    day = timedelta(days=1, hours=1)
    created = datetime.fromisoformat(visit.success.output["submit_time"])
    early, late = ((created + shift).strftime("%Y%m%d%H%M%S") for shift in (-day, day))
    near = [_listed(visit, **{name: span[name]})[0] for name in ("start_time", "end_time")]
    far = [_listed(visit, start_time=early)[0], _listed(visit, end_time=late)[0]]
    return Observation(
        near == [True, True] and far == [False, False], f"near: {near}, more than a day away: {far}"
    )


@FACTS.add(
    "list-scope",
    "it shows every task of the account: all three of this visit",
    DOCUMENTED,
    _PAGE,
    point="list-scope",
)
def _(visit: Visit) -> Observation:
    shown = _listed(visit)
    return Observation(all(shown), f"{sum(shown)} of 3")
