"""Measures on their way to Airflow's metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from airflow_provider_wanx.dashscope import measures
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.measures import MEASURES, Kind
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from airflow_provider_wanx.hooks.connection import shared_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.metrics import sending
from airflow_provider_wanx.metrics.sending import StatsObserver
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.version_compat import airflow_stats
from tests.unit.sensors.sensing import POKING, wait
from tests.unit.support.airflow import deferral, only_event, revived
from tests.unit.support.airflow_names import AIRFLOW, SafeOtelLogger
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints
from tests.unit.transfers.copying import copy

Sent = list[tuple[str, str, Any, Any]]


class Stats:
    """Keeps what Airflow would send."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    def incr(self, stat: str, count: float, *, tags: Any = None) -> None:
        self._sent.append(("counter", stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: Any = None) -> None:
        self._sent.append(("gauge", stat, value, tags))

    def timing(self, stat: str, dt: Any, *, tags: Any = None) -> None:
        self._sent.append(("timing", stat, dt, tags))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """What was sent, by whichever process."""
    kept: Sent = []
    monkeypatch.setattr(sending, "airflow_stats", lambda *, in_triggerer: Stats(kept))
    yield kept
    sending._complain.cache_clear()


def _names(sent: Sent) -> set[str]:
    return {name for _, name, _, _ in sent}


def _values(sent: Sent, wanted: str) -> list[Any]:
    return [value for _, name, value, _ in sent if name == wanted]


def test_a_value_goes_out_with_tags_and_under_a_name_that_needs_none(sent: Sent) -> None:
    StatsObserver("my conn")(measures.SUBMISSIONS, 1, {"model": "m", "outcome": "accepted"})
    tags = {"conn_id": "my_conn", "model": "m", "outcome": "accepted"}
    assert sent == [
        ("counter", "dashscope.submissions", 1, tags),
        ("counter", "dashscope.submissions.accepted", 1, None),
    ]


def test_a_timing_goes_out_as_a_duration(sent: Sent) -> None:
    StatsObserver("c")(measures.LAG, 1.5, {})
    assert sent == [("timing", "dashscope.lag", timedelta(seconds=1.5), {"conn_id": "c"})]


def test_only_a_triggerer_says_how_many_tasks_it_waits_for(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a.host")
    StatsObserver("c.d")(measures.WAITS, 3, {})
    assert sent == []
    StatsObserver("c.d", in_triggerer=True)(measures.WAITS, 3, {})
    assert sent == [
        ("gauge", "dashscope.waits", 3, {"conn_id": "c.d", "host": "a.host"}),
        ("gauge", "dashscope.waits.a_host.c_d", 3, None),
    ]


def test_without_old_names_only_those_with_tags_go_out(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    sending._has_old_names.cache_clear()
    monkeypatch.setenv("AIRFLOW__METRICS__LEGACY_NAMES_ON", "False")
    StatsObserver("c")(measures.POLLS, 1, {"endpoint": "get_task"})
    sending._has_old_names.cache_clear()
    assert _names(sent) == {"dashscope.polls"}


def test_metrics_that_cannot_be_sent_end_nothing_and_are_complained_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*, in_triggerer: bool) -> Any:
        raise RuntimeError("no metrics")

    monkeypatch.setattr(sending, "airflow_stats", broken)
    sending._complain.cache_clear()
    for _ in range(3):
        StatsObserver("c")(measures.COPIES, 1, {})
    assert caplog.text.count("Metrics of DashScope could not be sent (RuntimeError).") == 1


def test_a_worker_and_a_triggerer_each_have_the_stats_that_send_there() -> None:
    used = [_home(airflow_stats(in_triggerer=in_triggerer)) for in_triggerer in (False, True)]
    if AIRFLOW >= (3, 3):
        assert used == ["airflow.sdk.observability.stats", "airflow.observability.stats"]
    elif AIRFLOW >= (3, 2):
        inside = "_shared.observability.metrics.stats"
        assert used == [f"airflow.sdk.{inside}", f"airflow.{inside}"]
    else:
        assert used == ["airflow.stats"] * 2


def _home(stats: Any) -> str:
    """Name of the module that has these functions, or of the one that has them as methods."""
    return str(stats.__name__ if isinstance(stats, ModuleType) else stats.__module__)


def test_each_reads_its_connection_for_itself(dashscope: BackgroundSimulator) -> None:
    with DashScopeHook() as hook:
        assert vars(hook.get_conn().config.observe)["_in_triggerer"] is False
    config = asyncio.run(shared_config("dashscope_default"))
    assert vars(config.observe) == {"_conn_id": "dashscope_default", "_in_triggerer": True}


def test_a_portrait_on_its_way_is_measured_from_submission_to_copy(
    sent: Sent, dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    dashscope.add_fault(endpoint="submit", kind="status", status=429, code="Throttling.RateQuota", times=1)
    dashscope.add_fault(endpoint="get_task", kind="status", status=429, code="Throttling.RateQuota", times=1)
    (task_id,) = submit_repaints(dashscope, 31)
    waiting = wait(task_id)
    deferred = deferral(waiting.start)
    waiting.resume(deferred, only_event(revived(deferred.trigger)))
    (entry,) = copy(task_id, bucket.name).run_try()
    assert {measure.name for measure in MEASURES} - _names(sent) == {"dashscope.waits_given_up"}
    assert {
        "dashscope.submissions.accepted",
        "dashscope.submissions.throttled",
        "dashscope.polls.get_task",
        "dashscope.refused.submit",
        "dashscope.refused.get_task",
        "dashscope.tasks_ended.SUCCEEDED",
    } <= _names(sent)
    assert _values(sent, "dashscope.images") == [1]
    assert _values(sent, "dashscope.cost") == [0.12]
    assert _values(sent, "dashscope.copied_bytes") == [entry["bytes"]]
    assert all(tags["conn_id"] == "dashscope_default" for _, _, _, tags in sent if tags)


def test_a_sensor_that_pokes_measures_the_same_ends(sent: Sent, dashscope: BackgroundSimulator) -> None:
    (task_id,) = submit_repaints(dashscope, 31)
    dashscope.advance(9)
    wait(task_id, **POKING).run_try()
    assert _values(sent, "dashscope.tasks_ended.SUCCEEDED") == [1]
    assert _values(sent, "dashscope.cost") == [0.12]


def test_a_failed_task_costs_nothing(
    sent: Sent, connect_dashscope: Callable[..., BackgroundSimulator]
) -> None:
    service = connect_dashscope(submit_rate=0, task_rate=0)
    service.add_fault(endpoint="job", kind="outcome", outcome="FAILED", times=1)
    (task_id,) = submit_repaints(service, 31)
    waiting = wait(task_id)
    only_event(revived(deferral(waiting.start).trigger))
    assert _values(sent, "dashscope.tasks_ended.FAILED") == [1]
    assert not {"dashscope.images", "dashscope.cost"} & _names(sent)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "status", "status": 400, "code": "InvalidParameter"}, "refused"),
        ({"kind": "reset"}, "unconfirmed"),
    ],
)
def test_a_submission_that_brings_no_task_says_what_is_known_of_it(
    sent: Sent, dashscope: BackgroundSimulator, fault: dict[str, Any], outcome: str
) -> None:
    dashscope.add_fault(endpoint="submit", times=1, **fault)
    with pytest.raises(ProviderError), DashScopeHook() as hook:
        hook.submit_task(
            service=REPAINT_SERVICE, model=REPAINT_MODEL, input={"image_url": "https://a.b/c.png"}
        )
    assert f"dashscope.submissions.{outcome}" in _names(sent)


def test_a_canceled_task_and_a_look_at_the_list_are_counted(sent: Sent, at_rest: BackgroundSimulator) -> None:
    _, queued = submit_repaints(at_rest, 31, 31)
    with DashScopeHook() as hook:
        assert hook.cancel_task(queued)
        assert hook.list_tasks().tasks
    only_event(revived(deferral(wait(queued).start).trigger))
    assert {"dashscope.tasks_ended.CANCELED", "dashscope.polls.list_tasks"} <= _names(sent)


def test_a_wait_that_comes_to_its_deadline_is_given_up(sent: Sent, at_rest: BackgroundSimulator) -> None:
    (task_id,) = submit_repaints(at_rest, 31)
    only_event(revived(deferral(wait(task_id, timeout=0.2).start).trigger))
    assert _values(sent, "dashscope.waits_given_up") == [1]
    assert _values(sent, "dashscope.waits")[-1] == 0


def test_opentelemetry_takes_every_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    logger = SafeOtelLogger(MeterProvider(metric_readers=[reader]))
    monkeypatch.setattr(sending, "airflow_stats", lambda *, in_triggerer: logger)
    observe = StatsObserver("c", in_triggerer=True)
    for measure in MEASURES:
        observe(measure, 0.12, dict.fromkeys(measure.tags, "some"))
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: [
            (point.value if hasattr(point, "value") else point.sum, dict(point.attributes or {}))
            for point in metric.data.data_points
        ]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {f"airflow.{measure.name}" for measure in MEASURES} <= set(points)
    assert points["airflow.dashscope.cost"] == [(0.12, {"conn_id": "c"})]
    # Airflow 2 sends seconds, unless it is told to be as Airflow 3.
    assert points["airflow.dashscope.lag"] == [(120.0 if AIRFLOW >= (3, 0) else 0.12, {"conn_id": "c"})]
    assert points["airflow.dashscope.polls.some"] == [(0.12, {})]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_measure_is_fit_for_every_backend(measure: measures.Measure) -> None:
    assert measure.name == measure.name.lower()
    assert set(measure.split) <= {*measure.tags, "conn_id"}
    assert measure.kind is not Kind.TIMING or measure.unit == "s"


def test_a_tag_of_whatever_words_ends_no_tag_and_no_metric(sent: Sent) -> None:
    StatsObserver("mine")(
        measures.SUBMISSIONS, 1, {"model": "a\nb:1|c|#x:y,é=" + "z" * 900, "outcome": "accepted"}
    )

    (tags,) = [tags for _, name, _, tags in sent if name == "dashscope.submissions"]
    assert tags["model"].startswith("a_b_1_c__x_y_é_z")
    assert len(tags["model"]) == 200
    assert tags["outcome"] == "accepted"
