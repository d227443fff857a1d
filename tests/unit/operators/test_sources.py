"""What a DAG's author may name as a source, and what whoever fills in a form, an XCom, a manifest or a ledger may not."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import Bulk, accepted
from tests.unit.support.airflow import DagRun, TaskRunner
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket

LOCAL, CONN = "allow_local_files=True", "allow_conn_ids=True"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    path.write_bytes(picture())
    return path


def runs(task: Any, *, mapped_over: dict[str, Any] | None = None, **params: Any) -> Any:
    """Make of a DAG's task what a worker runs."""
    operator = task.prepare_for_execution() if mapped_over is None else task.unmap(mapped_over)
    operator.render_template_fields({"params": params, "run_id": "monday"})
    return operator


def request(operator: WanxStyleRepaintOperator) -> Any:
    with DashScopeHook() as hook:
        return operator.build_request(hook)


def one(**arguments: Any) -> Any:
    """A DAG's task that repaints one picture."""
    native = arguments.pop("native", False)
    with DAG("one", render_template_as_native_obj=native):
        return WanxStyleRepaintOperator(**{"task_id": "repaint", "style": "fresh", **arguments})


class TestOnePicture:
    def test_a_path_that_stands_in_the_dag_is_read(self, file: Path) -> None:
        assert request(runs(one(image=f" {file}"))).identity["image_url"].startswith("sha256:")
        assert request(runs(one(image=f"file://{file}", native=True)))

    @pytest.mark.parametrize("native", [False, True])
    @pytest.mark.parametrize(
        "template", ["{{ params.image }}", "{{ params.image }} ", "{% print(params.image) %}"]
    )
    def test_a_path_from_a_form_is_refused_unread(self, file: Path, template: str, native: bool) -> None:
        task = one(image=template, native=native)
        with pytest.raises(InvalidInputError, match=f"^image is a path on the worker.*{LOCAL}"):
            request(runs(task, image=str(file)))
        with pytest.raises(InvalidInputError, match=f"^image names a connection.*{CONN}"):
            request(runs(task, image="s3://other@bucket/a.png"))

    def test_other_marks_of_templates_make_no_difference(self, file: Path) -> None:
        with DAG(
            "one", jinja_environment_kwargs={"variable_start_string": "[[", "variable_end_string": "]]"}
        ):
            task = WanxStyleRepaintOperator(task_id="repaint", style="fresh", image="[[ params.image ]]")
        with pytest.raises(InvalidInputError, match=LOCAL):
            request(runs(task, image=str(file)))

    def test_the_authors_reference_does_not_open_its_path_to_a_form(self, file: Path) -> None:
        task = one(image="{{ params.image }}", style=-1, style_reference=str(file))
        assert request(runs(task, image="https://example.com/a.jpg"))
        with pytest.raises(InvalidInputError, match=LOCAL):
            request(runs(task, image=str(file)))

    def test_a_reference_from_a_form_is_refused_too(self, file: Path) -> None:
        task = one(image=str(file), style=-1, style_reference="{{ params.reference }}")
        with pytest.raises(InvalidInputError, match=f"^style_reference is a path on the worker.*{LOCAL}"):
            request(runs(task, reference=str(file)))

    def test_the_author_may_allow_it(self, file: Path, bucket: Bucket) -> None:
        assert request(runs(one(image="{{ params.image }}", allow_local_files=True), image=str(file)))
        named = bucket.put("a.png", picture()).replace("s3://", "s3://aws_default@")
        task = one(image="{{ params.image }}", allow_conn_ids=True, image_transfer="link")
        assert request(runs(task, image=named))

    @pytest.mark.parametrize("switch", ["allow_local_files", "allow_conn_ids"])
    @pytest.mark.parametrize("value", ["{{ params.allow }}", "False", None, 1])
    def test_a_switch_is_turned_in_the_dag_alone(self, switch: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"{switch} must be True or False"):
            one(image="https://example.com/a.jpg", **{switch: value})
        with pytest.raises(ValueError, match=f"{switch} must be True or False"):
            WanxStyleRepaintBatchOperator(
                task_id="bulk", images="s3://b/i/", destination="s3://b/x/", **{switch: value}
            )
        templates = {
            *WanxStyleRepaintOperator.template_fields,
            *WanxStyleRepaintBatchOperator.template_fields,
        }
        assert switch not in templates


class TestMapped:
    """Airflow makes the operator of a mapped task anew, with what it is mapped over as if it stood in the DAG."""

    def test_paths_of_an_upstream_task_are_refused(self, file: Path) -> None:
        with DAG("mapped"):
            upstream = WanxStyleRepaintOperator(task_id="up", image="https://example.com/a.jpg", style=3)
            task = WanxStyleRepaintOperator.partial(task_id="repaint", style=3).expand(image=upstream.output)
        with pytest.raises(InvalidInputError, match=LOCAL):
            request(runs(task, mapped_over={"image": str(file)}))
        with pytest.raises(InvalidInputError, match=CONN):
            request(runs(task, mapped_over={"image": "s3://other@bucket/a.png"}))

    def test_paths_that_the_author_maps_over_are_read(self, file: Path) -> None:
        with DAG("mapped"):
            by_image = WanxStyleRepaintOperator.partial(task_id="a", style=3).expand(
                image=[str(file), "{{ params.image }}"]
            )
            by_style = WanxStyleRepaintOperator.partial(task_id="b", image=str(file)).expand(style=[3, 5])
            by_both = WanxStyleRepaintOperator.partial(task_id="c").expand_kwargs(
                [{"image": str(file), "style": 3}]
            )
        for task, mapped_over in (
            (by_image, {"image": str(file)}),
            (by_style, {"style": 3}),
            (by_both, {"image": str(file), "style": 3}),
        ):
            assert request(runs(task, mapped_over=mapped_over))
        with pytest.raises(InvalidInputError, match=LOCAL):
            request(runs(by_image, mapped_over={"image": "{{ params.image }}"}, image="/etc/hostname"))

    def test_data_cannot_turn_the_authors_switches(self, file: Path) -> None:
        with DAG("mapped"):
            upstream = WanxStyleRepaintOperator(task_id="up", image="https://example.com/a.jpg", style=3)
            given = {"image": str(file), "allow_local_files": True, "allow_conn_ids": True}
            shut = WanxStyleRepaintOperator.partial(task_id="a", style=3).expand_kwargs(upstream.output)
            open_ = WanxStyleRepaintOperator.partial(
                task_id="b", style=3, allow_local_files=True
            ).expand_kwargs(upstream.output)
        with pytest.raises(InvalidInputError, match=LOCAL):
            request(runs(shut, mapped_over=given))
        assert request(runs(open_, mapped_over={"image": str(file)}))


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.mkdir(),
    ],
    ids=["pipe", "device", "folder"],
)
def test_where_paths_are_allowed_only_regular_files_are_read(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    path = tmp_path / "portrait.png"
    make(path)
    said: list[str] = []

    def attempt() -> None:
        try:
            request(runs(one(image=str(path))))
        except InvalidInputError as error:
            said.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(30)
    assert len(said) == 1
    assert "regular file" in said[0] or "directory" in said[0]


class TestBatch:
    """Of a batch: the folder or the list, the manifest, its rows, the destination, and what stands in the ledger."""

    def _runner(
        self, *, params: dict[str, Any], **arguments: Any
    ) -> TaskRunner[WanxStyleRepaintBatchOperator]:
        def build() -> WanxStyleRepaintBatchOperator:
            with DAG("bulk"):
                task = WanxStyleRepaintBatchOperator(**{"task_id": "bulk", "style": "anime", **arguments})
            operator = task.prepare_for_execution()
            operator.render_template_fields({"params": params})
            return operator

        return TaskRunner(build, run=DagRun())

    @pytest.mark.parametrize(
        ("argument", "place", "told"),
        [
            ("images", "/", LOCAL),
            ("images", "file:///", LOCAL),
            ("images", "s3://other@bucket/in/", CONN),
            ("images", "/etc/faces.csv", LOCAL),
            ("images", "s3://other@bucket/faces.csv", CONN),
            ("images", "/etc/**/*.csv", LOCAL),
            ("destination", "s3://other@bucket/out/", CONN),
        ],
    )
    @pytest.mark.parametrize("dry_run", [True, False])
    def test_a_form_names_no_path_and_no_connection(
        self, bulk: Bulk, at_rest: BackgroundSimulator, argument: str, place: str, told: str, dry_run: bool
    ) -> None:
        given = {"destination": f"s3://{bulk.bucket.name}/out/", "dry_run": dry_run}
        if argument == "destination":
            given["images"] = f"s3://{bulk.bucket.name}/in/"
        runner = self._runner(params={"place": place}, **{**given, argument: "{{ params.place }}"})
        with pytest.raises(AirflowFailException, match=f"^{argument} .*{told}"):
            runner.run_try()
        assert accepted(at_rest) == 0

    def test_a_list_of_an_upstream_task_names_no_path(
        self, bulk: Bulk, at_rest: BackgroundSimulator, file: Path
    ) -> None:
        runner = self._runner(
            params={"images": [str(file), "s3://other@bucket/a.png"]},
            destination=f"s3://{bulk.bucket.name}/out/",
            images=["{{ params.images[0] }}", "{{ params.images[1] }}"],
        )
        with pytest.raises(
            AirflowFailException, match=rf"2 of 2 rows.*{LOCAL}.*{CONN}.*Nothing was submitted"
        ):
            runner.run_try()
        assert accepted(at_rest) == 0

    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
    def test_a_manifest_names_no_path_and_no_connection(
        self, bulk: Bulk, at_rest: BackgroundSimulator, file: Path, kind: str
    ) -> None:
        rows = [
            {"image": str(file), "style": "3", "style_reference": ""},
            {"image": "s3://other@bucket/a.png", "style": "3", "style_reference": ""},
            {"image": "https://example.com/a.png", "style": "-1", "style_reference": f"file://{file}"},
        ]
        url = bulk.bucket.put(f"faces.{kind}", _manifest(kind, rows))
        with pytest.raises(AirflowFailException, match=r"3 of 3 rows") as caught:
            bulk.run(images=url, style=None)
        assert str(caught.value).count(LOCAL) == 2
        assert str(caught.value).count(CONN) == 1
        assert accepted(at_rest) == 0

    def test_an_argument_left_empty_opens_no_working_directory(
        self,
        bulk: Bulk,
        service: Callable[..., BackgroundSimulator],
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        simulator = service()
        monkeypatch.chdir(file.parent)
        url = bulk.bucket.put("faces.jsonl", _manifest("jsonl", [{"image": file.name}]))
        with pytest.raises(AirflowFailException, match=LOCAL):
            bulk.run(images=url, style_reference="")
        assert accepted(simulator) == 0

    def test_what_the_author_has_written_is_read(
        self, bulk: Bulk, service: Callable[..., BackgroundSimulator], file: Path
    ) -> None:
        simulator = service()
        named = f"s3://aws_default@{bulk.bucket.name}"
        assert (
            bulk.run(images=[str(file), f"{named}/in/ann.png"], destination=f"{named}/out/")["succeeded"] == 2
        )
        assert bulk.run(images=f"{file.parent}", destination=f"{named}/folder/")["succeeded"] == 1
        assert bulk.run(images=f"{named}/in", destination=f"{named}/more/")["succeeded"] == 3
        assert bulk.run(images=f"{named}/in/*.png", destination=f"{named}/some/")["succeeded"] == 3
        assert accepted(simulator) == 9

    def test_what_the_author_has_written_does_not_let_a_manifests_rows_name_its_neighbours(
        self, bulk: Bulk, at_rest: BackgroundSimulator
    ) -> None:
        url = f"s3://aws_default@{bulk.bucket.name}/faces.jsonl"
        bulk.bucket.put("faces.jsonl", _manifest("jsonl", [{"image": url}, {"image": f"{url}/a.png"}]))
        with pytest.raises(AirflowFailException, match=r"2 of 2 rows"):
            bulk.run(images=url)
        assert accepted(at_rest) == 0

    @pytest.mark.parametrize("by_connection", [True, False])
    def test_the_pictures_of_a_batch_may_be_uploaded(
        self,
        bulk: Bulk,
        service: Callable[..., BackgroundSimulator],
        set_connection: Callable[..., None],
        by_connection: bool,
    ) -> None:
        simulator = service()
        if by_connection:
            set_connection("dashscope_default", simulator.connection_json(image_transfer="upload"))
        assert bulk.run(**({} if by_connection else {"image_transfer": "upload"}))["succeeded"] == 3
        assert all(task["image_url"].startswith("oss://") for task in simulator.ledger()["tasks"])
        assert simulator.ledger(summary=True)["endpoints"]["upload"]["requests"] == 3

    def test_a_row_of_the_ledger_names_no_path_and_no_connection(
        self, bulk: Bulk, service: Callable[..., BackgroundSimulator], file: Path
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="status", status=400, code="InvalidParameter", times=3)
        with pytest.raises(AirflowFailException, match="All images have failed"):
            bulk.run()
        (name,) = [key for key in bulk.bucket.keys() if "_ledger/rows" in key]  # noqa: SIM118 - no dictionary
        header, *rows = (json.loads(line) for line in bulk.bucket.body(name).splitlines())
        places = (str(file), "s3://other@bucket/a.png", f"file://{file}")
        for row, place in zip(rows, places, strict=True):
            row["image"] = place
        bulk.bucket.put(name, "".join(f"{json.dumps(line)}\n" for line in (header, *rows)).encode())
        before = accepted(simulator)
        bulk.run(retry_failed=True)
        sent = [task["image_url"] for task in simulator.ledger()["tasks"]]
        assert accepted(simulator) == before + 3
        assert not any("oss://" in url or "other" in url for url in sent)


def _manifest(kind: str, rows: list[dict[str, str]]) -> bytes:
    if kind == "jsonl":
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        return "\n".join(lines).encode()
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()
