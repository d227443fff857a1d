"""The example DAGs, as far as that can be seen without running them."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSkipException,
    Asset,
    ParamValidationError,
)

from airflow_provider_wanx import version_compat
from airflow_provider_wanx.dashscope.styles import WanxStyle, style_number
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.result_metadata import ownership
from airflow_provider_wanx.plugins.wanx_gallery import PREFIX
from tests import demo
from tests.stack import ROOT
from tests.unit.support.airflow import DagRun, TaskInstance
from tests.unit.support.airflow_names import (
    AIRFLOW,
    MappedTaskGroup,
    is_mapped,
    make_tables,
    schedule_of,
    stored_dag,
)
from tests.unit.support.s3 import Bucket

FILES = sorted((ROOT / "dags").glob("*.py"))
needs_a_person = pytest.mark.needs_airflow("3.1", "asking a person before something is published")
every_file = pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=needs_a_person if file.stem == "wanx_review" else ()) for file in FILES],
    ids=lambda file: file.stem,
)


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    """Airflow 2 looks into its database when it reads and writes a DAG with aliases of assets."""
    if AIRFLOW < (3, 0):
        make_tables("dataset")


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dag_of(file: Path) -> DAG:
    (found,) = [value for value in vars(load(file)).values() if isinstance(value, DAG)]
    return found


def test_there_are_examples() -> None:
    assert {file.stem for file in FILES} >= {
        "wanx_style_repaint",
        "wanx_repaint_folder",
        "wanx_bulk",
        "dashscope_any_model",
        "wanx_new_portraits",
        "wanx_review",
    }


@every_file
def test_a_dag_is_named_after_its_file_is_started_by_hand_or_an_asset_and_explains_itself(file: Path) -> None:
    dag = dag_of(file)
    assert dag.dag_id == file.stem
    assert all(isinstance(each, Asset) for each in schedule_of(dag))
    assert dag.doc_md is not None
    for topic in ("###", "*When to use:*", "*Needs:*", "*Costs:*"):
        assert topic in dag.doc_md


@every_file
def test_a_dag_survives_airflows_serialization(file: Path) -> None:
    dag = dag_of(file)
    stored = stored_dag(dag)
    assert sorted(stored.task_ids) == sorted(dag.task_ids)


@every_file
def test_a_dag_has_no_secret_and_documents_that_include_parts_of_it_find_them(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"sk-[\w-]{6}|api_key|password", text)
    starts, ends = re.findall(r"\[START (\w+)\]", text), re.findall(r"\[END (\w+)\]", text)
    assert starts == ends != []


@every_file
def test_every_field_of_the_form_has_a_title_a_help_text_and_a_default_that_it_accepts(file: Path) -> None:
    params = dag_of(file).params
    for name in params:
        param = params.get_param(name)
        assert param.schema.get("title"), name
        assert param.description, name
        assert param.resolve() == param.value


@pytest.mark.parametrize("name", ["wanx_style_repaint", "wanx_repaint_folder", "wanx_bulk"])
def test_the_form_offers_every_style_but_the_one_that_needs_a_reference(name: str) -> None:
    style: Any = dag_of(ROOT / "dags" / f"{name}.py").params.get_param("style")
    offered = style.schema["enum"]
    assert offered == [each.english for each in WanxStyle if each is not WanxStyle.REFERENCE_IMAGE]
    assert len(offered) == 23


@pytest.mark.parametrize("name", ["wanx_style_repaint", "wanx_repaint_folder", "wanx_bulk"])
def test_the_form_shows_each_style_by_its_english_and_chinese_name_and_its_number(name: str) -> None:
    style: Any = dag_of(ROOT / "dags" / f"{name}.py").params.get_param("style")
    # What is typed into the field is looked for in these.
    shown = style.schema["values_display"]
    assert shown["crayon world"] == "crayon world · 蜡笔世界 · 38"
    assert [style_number(part) for text in shown.values() for part in text.split(" · ")] == [
        style_number(each) for each in style.schema["enum"] for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (
            "wanx_style_repaint",
            {"image": "", "style": "no such style", "bucket": "s3://results", "key": "/a"},
        ),
        (
            "wanx_repaint_folder",
            {"bucket": "Faces", "prefix": "s3://faces/", "result_bucket": "a/b", "key": "s3://b/a"},
        ),
        ("wanx_bulk", {"source": "", "destination": "results/", "max_cost": -1, "dry_run": "perhaps"}),
        ("dashscope_any_model", {"prompt": "", "n": 5, "bucket": "", "key": ""}),
    ],
)
def test_the_form_refuses_wrong_values(name: str, wrong: dict[str, Any]) -> None:
    params = dag_of(ROOT / "dags" / f"{name}.py").params
    for field, value in wrong.items():
        with pytest.raises(ParamValidationError):
            params.get_param(field).resolve(value)


@pytest.mark.parametrize(
    ("name", "task_id"), [("wanx_style_repaint", "submit"), ("dashscope_any_model", "paint")]
)
def test_the_forms_bucket_is_looked_for_before_anything_is_submitted(name: str, task_id: str) -> None:
    file = ROOT / "dags" / f"{name}.py"
    assert rendered(file, task_id, bucket="my-results").result_bucket == "my-results"
    copy: Any = dag_of(file).get_task("copy")
    form: Any = {"params": {"bucket": "my-results", "key": "mine/{index}{extension}"}}
    fields = copy.render_template([copy.s3_bucket, copy.s3_key], form)
    assert fields == ["my-results", "mine/{index}{extension}"]


def test_the_forms_begin_with_what_the_demo_has_and_say_that_it_is_to_be_replaced() -> None:
    portraits = {f"s3://{demo.BUCKET}/{demo.PREFIX}{file.name}" for file in demo.portraits()}
    one = dag_of(ROOT / "dags" / "wanx_style_repaint.py").params
    assert one["image"] in portraits
    assert one["bucket"] == demo.RESULTS
    folder = dag_of(ROOT / "dags" / "wanx_repaint_folder.py").params
    assert (folder["bucket"], folder["prefix"], folder["result_bucket"]) == (
        demo.BUCKET,
        demo.PREFIX,
        demo.RESULTS,
    )
    for param in (one.get_param("image"), folder.get_param("bucket")):
        assert param.description is not None
        assert param.description.startswith("Put your own")


def test_one_portrait_goes_from_submit_over_wait_to_copy() -> None:
    dag = dag_of(ROOT / "dags" / "wanx_style_repaint.py")
    assert [task.task_id for task in dag.topological_sort()] == ["submit", "wait", "copy"]


def test_a_folder_is_repainted_by_a_mapped_group_in_which_one_bad_picture_stops_no_other() -> None:
    dag = dag_of(ROOT / "dags" / "wanx_repaint_folder.py")
    assert isinstance(dag.task_group.get_child_by_label("repaint"), MappedTaskGroup)
    upstream = {task_id: dag.get_task(f"repaint.{task_id}").upstream_task_ids for task_id in ("wait", "copy")}
    assert upstream == {"wait": {"repaint.submit"}, "copy": {"repaint.wait"}}


@pytest.mark.parametrize("task_id", ["submit", "wait", "copy"])
def test_of_a_folder_every_copy_of_a_task_carries_its_pictures_name(task_id: str) -> None:
    dag = dag_of(ROOT / "dags" / "wanx_repaint_folder.py")
    template = dag.get_task(f"repaint.{task_id}").map_index_template
    run = DagRun(xcoms={("pictures", -1): {"return_value": ["s3://faces/p/a.png", "s3://faces/p/b c.jpg"]}})
    ti = TaskInstance(run=run, task_id=f"repaint.{task_id}", map_index=1)
    assert dag.get_template_env().from_string(template).render(ti=ti) == "b c.jpg"


@pytest.fixture
def folder(bucket: Bucket) -> Callable[..., Any]:
    """The folder DAG's first task, with its form as it is but for some fields."""
    dag = dag_of(ROOT / "dags" / "wanx_repaint_folder.py")
    choose: Any = dag.get_task("pictures")

    def pictures(**fields: Any) -> Any:
        form = {"bucket": bucket.name, "prefix": "p/", "result_bucket": bucket.name, **fields}
        return choose.python_callable({**dag.params.dump(), **form})

    return pictures


def test_of_a_folder_only_pictures_are_repainted(folder: Callable[..., Any], bucket: Bucket) -> None:
    for key in (
        "p/a.JPG",
        "p/b.jpeg",
        "p/c.webp",
        "p/",
        "p/notes.txt",
        "p/d.png",
        "p/e.bmp",
        "p/f.gif",
        "q.png",
    ):
        bucket.put(key, b"")
    under = [f"s3://{bucket.name}/p/{name}" for name in ("a.JPG", "b.jpeg", "c.webp", "d.png", "e.bmp")]
    assert folder() == under
    assert folder(prefix=None) == [*under, f"s3://{bucket.name}/q.png"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"prefix": "empty/"},
            r"^No picture under s3://.*/empty/\. Put some there \(\.jpg, .* or correct bucket",
        ),
        (
            {"bucket": "nowhere"},
            r"^There is no bucket nowhere, or the connection aws_default may not use it\.",
        ),
        (
            {"result_bucket": "nowhere"},
            r"^There is no bucket nowhere, or .* Create it, or correct its name\.$",
        ),
    ],
)
def test_an_empty_folder_or_a_missing_bucket_ends_with_a_sentence(
    folder: Callable[..., Any], bucket: Bucket, fields: dict[str, Any], message: str
) -> None:
    bucket.put("p/a.png", b"")
    with pytest.raises(AirflowFailException, match=message):
        folder(**fields)


def rendered(file: Path, task_id: str, **params: Any) -> Any:
    """A DAG's task, with its form as it is but for some fields."""
    dag = dag_of(file)
    task = dag.get_task(task_id)
    task.render_template_fields({"params": {**dag.params.dump(), **params}})  # type: ignore[typeddict-item]
    return task


def test_the_form_of_a_batch_begins_with_a_dry_run_that_has_no_glob_and_no_budget() -> None:
    repaint = rendered(ROOT / "dags" / "wanx_bulk.py", "repaint")
    assert (repaint.images, repaint.destination) == (
        "s3://wanx-portraits/portraits/",
        "s3://wanx-results/bulk/",
    )
    assert repaint.only_look is True
    assert repaint.max_cost is None


def test_every_field_of_the_form_of_a_batch_reaches_the_operator() -> None:
    form = {
        "source": "s3://faces/2026/",
        "glob": "**/*.png",
        "style": "anime",
        "destination": "s3://results/anime/",
        "dry_run": False,
        "max_cost": 12.5,
        "max_failures": 3,
    }
    repaint = rendered(ROOT / "dags" / "wanx_bulk.py", "repaint", **form)
    assert repaint.images == "s3://faces/2026/**/*.png"
    assert [repaint.style, repaint.destination] == ["anime", "s3://results/anime/"]
    assert [repaint.only_look, repaint.max_cost, repaint.max_failures] == [False, 12.5, 3]


def event(extra: dict[str, Any], **source: Any) -> Any:
    """An asset's event, as a run that it started sees it."""
    names = ("source_dag_id", "source_run_id", "source_task_id", "source_map_index")
    return SimpleNamespace(extra=extra, **{**dict.fromkeys(names), **source})


class Triggering(dict[str, Any]):
    """Events by the URI of their asset; like Airflow's own mapping, it is asked with the asset."""

    def get(self, asset: Any, default: Any = None) -> Any:
        return super().get(asset.uri, default)


@pytest.mark.parametrize("name", ["triggering_asset_events", "triggering_dataset_events"])
def test_new_portraits_are_those_that_the_events_name_each_once(name: str) -> None:
    pictures: Any = dag_of(ROOT / "dags" / "wanx_new_portraits.py").get_task("pictures")
    events = [event({"keys": ["p/b.png", "p/a.png"], "from_rest_api": True}), event({"keys": ["p/b.png"]})]
    found = pictures.python_callable(**{name: Triggering({"s3://wanx-portraits/portraits": events})})
    assert found == ["s3://wanx-portraits/p/b.png", "s3://wanx-portraits/p/a.png"]


def test_a_run_without_new_portraits_ends_with_a_sentence() -> None:
    pictures: Any = dag_of(ROOT / "dags" / "wanx_new_portraits.py").get_task("pictures")
    nothing: dict[str, Any] = {}
    for events in (nothing, Triggering({"s3://wanx-portraits/portraits": [event({})]})):
        with pytest.raises(AirflowFailException, match=r"^No event of .* names a portrait, so .* Create one"):
            pictures.python_callable(triggering_asset_events=events)


@needs_a_person
def test_a_review_without_new_results_ends_with_a_sentence() -> None:
    results: Any = dag_of(ROOT / "dags" / "wanx_review.py").get_task("results")
    with pytest.raises(
        AirflowFailException,
        match=r"^No event of .* names a result of its task, so .* to review\. Run wanx_new",
    ):
        results.python_callable(triggering_asset_events={})


def test_one_copy_of_all_new_portraits_that_succeeded_starts_the_review_with_one_event() -> None:
    dag = dag_of(ROOT / "dags" / "wanx_new_portraits.py")
    copy = dag.get_task("copy")
    assert not is_mapped(copy)
    assert (copy.upstream_task_ids, copy.trigger_rule) == ({"repaint.wait"}, "all_done")
    assert isinstance(dag.task_group.get_child_by_label("repaint"), MappedTaskGroup)
    # Without it, a run whose portraits have failed would end well.
    failures: Any = dag.get_task("failures")
    assert (failures.upstream_task_ids, failures.trigger_rule) == ({"repaint.wait"}, "one_failed")
    with pytest.raises(AirflowFailException, match=r"^Not every new portrait was repainted\."):
        failures.python_callable()
    if version_compat.AIRFLOW_V_3_1_PLUS:
        assert copy.outlets == schedule_of(dag_of(ROOT / "dags" / "wanx_review.py"))


SENDER = {
    "source_dag_id": "faces",
    "source_run_id": "asset__2026-11-25T10:00:00+00:00",
    "source_task_id": "g.copy",
    "source_map_index": 4,
}


def owned(**changes: Any) -> dict[str, str]:
    """The metadata of an object that the sender of an event has written."""
    ids: dict[str, Any] = {name.removeprefix("source_"): value for name, value in SENDER.items()}
    return ownership(Identity(**{**ids, **changes}))


def asked_about(bucket: Bucket, *events: Any) -> list[dict[str, str]]:
    """What the review asks when it is started by events."""
    results: Any = dag_of(ROOT / "dags" / "wanx_review.py").get_task("results")
    found: list[dict[str, str]] = results.python_callable(
        triggering_asset_events=Triggering({"s3://wanx-results/repainted": list(events)})
    )
    return found


@needs_a_person
def test_the_question_about_a_result_shows_it_beside_its_portrait_from_the_gallery(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team")
    entries = [{"bucket": bucket.name, "key": f"repainted/anime/ada_{number}.png"} for number in range(2)]
    for each in entries:
        bucket.put(each["key"], b"picture", Metadata=owned())
    first, second = asked_about(bucket, event({"objects": entries}, **SENDER))
    page = f"/team{PREFIX}/dags/faces/runs/asset__2026-11-25T10%3A00%3A00%2B00%3A00/tasks/g.copy/4/results"
    assert f"![The portrait]({page}/0/source) ![The result]({page}/0/result)" in first["body"]
    assert f"({page}/1)" in second["body"]
    assert (first["subject"], first["bucket"], first["key"]) == (
        "Publish ada_0.png?",
        bucket.name,
        "repainted/anime/ada_0.png",
    )


@needs_a_person
def test_only_what_the_sender_of_an_event_has_written_itself_is_asked_about(bucket: Bucket) -> None:
    objects = {
        "mine.png": owned(),
        "another-dag.png": owned(dag_id="theirs"),
        "another-run.png": owned(run_id="earlier"),
        "another-task.png": owned(task_id="other"),
        "not-made-by-us.png": {},
    }
    for key, metadata in objects.items():
        bucket.put(key, b"picture", Metadata=metadata)
    named = {"objects": [{"bucket": bucket.name, "key": key} for key in (*objects, "missing.png")]}
    from_api = event({"from_rest_api": True, **named})
    assert [each["key"] for each in asked_about(bucket, from_api, event(named, **SENDER))] == ["mine.png"]
    with pytest.raises(AirflowFailException, match="there is nothing to review"):
        asked_about(bucket, from_api)


@needs_a_person
def test_only_after_an_approval_is_what_was_shown_copied_to_where_it_is_published(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(ROOT / "dags" / "wanx_review.py")
    publish: Any = module.review_dag.get_task("review.publish")
    assert publish.upstream_task_ids == {"review.approve", "results"}
    assert publish.trigger_rule == "all_success"
    bucket.put("repainted/anime/ada.png", b"picture", Metadata={"dashscope-style": "2"})
    monkeypatch.setattr(module, "RESULT_BUCKET", bucket.name)
    etag = bucket.head("repainted/anime/ada.png")["ETag"]
    ada = {"bucket": bucket.name, "key": "repainted/anime/ada.png", "etag": etag}
    for options in (["Reject"], []):
        with pytest.raises(AirflowSkipException, match=r"^Rejected, so it is not published: s3://"):
            publish.python_callable({"chosen_options": options}, **ada)
    assert bucket.keys() == [ada["key"]]
    url = publish.python_callable({"chosen_options": ["Approve"]}, **ada)
    assert url == f"s3://{bucket.name}/published/ada.png"
    assert (bucket.body("published/ada.png"), bucket.head("published/ada.png")["Metadata"]) == (
        b"picture",
        {"dashscope-style": "2"},
    )
    bucket.put("repainted/anime/ada.png", b"another picture")
    with pytest.raises(AirflowFailException, match=r"^Not what was approved any more"):
        publish.python_callable({"chosen_options": ["Approve"]}, **ada)
    assert bucket.body("published/ada.png") == b"picture"


def test_before_airflow_3_1_there_is_no_review_and_a_sentence_instead_of_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(version_compat, "AIRFLOW_V_3_1_PLUS", False)
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)
    found = vars(load(ROOT / "dags" / "wanx_review.py")).values()
    assert not [value for value in found if isinstance(value, DAG)]
    (record,) = caplog.records
    assert record.getMessage() == ("There is no DAG wanx_review: asking a person needs Airflow 3.1 or later.")
