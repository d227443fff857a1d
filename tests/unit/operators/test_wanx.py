"""Repainting portraits, run as Airflow runs it, against a local DashScope and a local S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException

from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.airflow_names import is_mapped, stored_dag
from tests.unit.support.pictures import data_url, heavy_picture, picture
from tests.unit.support.s3 import Bucket

REAL_STYLES = [style for style in WanxStyle if style is not WanxStyle.REFERENCE_IMAGE]


def repaint(**arguments: Any) -> TaskRunner[WanxStyleRepaintOperator]:
    """A task that repaints a picture."""

    def build() -> WanxStyleRepaintOperator:
        given = {"task_id": "repaint", "style": "fresh", "poll_interval": 0.05, **arguments}
        return WanxStyleRepaintOperator(**given)

    return TaskRunner(build)


def tasks(simulator: BackgroundSimulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = simulator.ledger()["tasks"]
    return found


def submissions(simulator: BackgroundSimulator) -> int:
    count: int = simulator.ledger(summary=True)["totals"]["submissions"]
    return count


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    path.write_bytes(picture())
    return path


def _http(request: pytest.FixtureRequest) -> str:
    return f"{request.getfixturevalue('dashscope').portrait_url}?seed=3"


def _data(request: pytest.FixtureRequest) -> str:
    return data_url(picture(kind="JPEG"), "image/jpeg")


def _oss(request: pytest.FixtureRequest) -> str:
    with DashScopeHook() as hook:
        return hook.upload_file(picture(), model=REPAINT_MODEL, filename="portrait.png")


def _s3(request: pytest.FixtureRequest) -> str:
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.put("people/portrait one.png", picture())


def _s3_with_connection(request: pytest.FixtureRequest) -> str:
    return _s3(request).replace("s3://", "s3://aws_default@")


def _path(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("file"))


def _file_url(request: pytest.FixtureRequest) -> str:
    return f"file://{_path(request)}"


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    "image",
    [_http, _data, _oss, _s3, _s3_with_connection, _path, _file_url],
    ids=lambda kind: kind.__name__.strip("_"),
)
def test_a_picture_is_repainted_wherever_it_lies(
    dashscope: BackgroundSimulator,
    request: pytest.FixtureRequest,
    image: Callable[[pytest.FixtureRequest], str],
    deferrable: bool,
) -> None:
    runner = repaint(
        image=image(request), style="clay world", wait_for_completion=True, deferrable=deferrable
    )
    task_id = runner.run_try()
    (task,) = tasks(dashscope)
    assert (task["task_id"], task["status"], task["style_index"]) == (task_id, "SUCCEEDED", 31)
    assert (task["model"], task["service"]) == (REPAINT_MODEL, REPAINT_SERVICE)
    assert task["billed"] == 1


def test_an_https_url_reaches_the_service_unread(at_rest: BackgroundSimulator) -> None:
    repaint(image="https://example.com/肖像.jpg").run_try()
    assert [task["image_url"] for task in tasks(at_rest)] == ["https://example.com/%E8%82%96%E5%83%8F.jpg"]


@pytest.mark.parametrize(
    "write",
    [
        lambda style: style,
        int,
        lambda style: str(int(style)),
        lambda style: style.chinese,
        lambda style: style.english,
        lambda style: style.english.upper().replace(" ", "_"),
        lambda style: style.name,
    ],
)
def test_every_style_can_be_given_in_every_way(write: Callable[[WanxStyle], Any]) -> None:
    assert len(REAL_STYLES) == 23
    with DashScopeHook() as hook:
        requests = [
            repaint(image="https://example.com/a.jpg", style=write(style)).build().build_request(hook)
            for style in REAL_STYLES
        ]
    sent = [request.build_input()["style_index"] for request in requests]
    assert sent == [style.number for style in REAL_STYLES]
    assert all(type(number) is int for number in sent)
    assert len({request.identity["style_index"] for request in requests}) == 23


@pytest.mark.parametrize("style", [WanxStyle.CLAY_WORLD, 31, "31", "黏土世界", "clay world"])
def test_a_style_reaches_the_service_as_its_number(at_rest: BackgroundSimulator, style: Any) -> None:
    repaint(image="https://example.com/a.jpg", style=style).run_try()
    assert [task["style_index"] for task in tasks(at_rest)] == [31]


def test_before_it_submits_the_log_names_picture_style_and_price(
    at_rest: BackgroundSimulator, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repaint(image="https://me:secret@pictures.example/a.jpg?Signature=secret", style="小清新").run_try()
    repaint(image=str(file), style=-1, style_reference=data_url(picture(), "image/png")).run_try()
    at_rest.add_fault(endpoint="submit", kind="status", status=400, code="InvalidParameter")
    with pytest.raises(AirflowFailException):
        repaint(image=str(file), style=99).run_try()
    log = capsys.readouterr().out
    for told in (
        "Submitting https://pictures.example/a.jpg in style 3 (fresh), for 0.12 CNY if it succeeds.",
        f"Submitting {file} like data:image/png;base64,… in style -1 (reference image), for 0.12 CNY",
        f"Submitting {file} in style 99, for 0.12 CNY",
    ):
        assert told in log
    assert "secret" not in log
    assert log.index("Submitting https") < log.index("Submitted DashScope task")


def test_a_style_can_be_taken_from_a_picture(dashscope: BackgroundSimulator, file: Path) -> None:
    runner = repaint(
        image=dashscope.portrait_url,
        style=-1,
        style_reference=str(file),
        wait_for_completion=True,
        deferrable=False,
    )
    assert runner.run_try()
    (task,) = tasks(dashscope)
    assert (task["style_index"], task["status"]) == (-1, "SUCCEEDED")
    assert dashscope.ledger(summary=True)["totals"]["fetched_inputs"] == 2


def test_a_number_that_is_not_known_passes_with_a_warning_and_the_service_decides(
    at_rest: BackgroundSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AirflowFailException, match=r"InvalidParameter: input\.style_index must be one of"):
        repaint(image="https://example.com/a.jpg", style=99).run_try()
    assert "Style 99 is not among the documented ones; the service will decide." in capsys.readouterr().out
    assert tasks(at_rest) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            {"style": "nope"},
            r"style 'nope' is not known\. Give a number or one of the names: .*3 fresh \(小清新\)",
        ),
        ({"style": None}, r"style is empty \(None\)"),
        ({"style": True}, "style True is not known"),
        ({"style": -1}, "style -1 takes the style from a picture: give style_reference too"),
        (
            {"style_reference": "https://example.com/b.jpg"},
            "style_reference goes with style -1 only",
        ),
        (
            {"style": -1, "style_reference": "data:image/png;base64,"},
            "style_reference is not a readable data: URL",
        ),
        ({"image": ""}, "image is empty"),
        ({"image": None}, "image is empty"),
    ],
)
def test_bad_arguments_cost_nothing_and_are_not_retried(
    at_rest: BackgroundSimulator, arguments: dict[str, Any], problem: str
) -> None:
    runner = repaint(**{"image": "https://example.com/a.jpg", **arguments})
    with pytest.raises(AirflowFailException, match=problem):
        runner.run_try()
    assert submissions(at_rest) == 0
    assert runner.store is not None
    assert runner.store.values == {}


BAD_PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "tiny": (lambda: picture(100, 100), "has 100×100 pixels; the model takes 256×256 at least"),
    "huge": (lambda: picture(5800, 3240), "has 5800×3240 pixels; the model takes 5760×3240 at most"),
    "long": (lambda: picture(300, 700), "has 300×700 pixels, 2.33:1; the model takes 2:1 at most"),
    "heavy": (lambda: heavy_picture(11_000_000), "has 11.0 MB; the model takes 10 MB at most"),
    "gif": (lambda: picture(kind="GIF"), "is a GIF picture; the model takes JPEG, PNG, BMP, WEBP"),
    "text": (lambda: b"Dear Sir or Madam,", "is text; the model takes JPEG, PNG, BMP, WEBP"),
}


@pytest.fixture(params=["path", "file", "data", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], str]:
    """Put a picture somewhere; return how it is given to the operator."""

    def somewhere(content: bytes) -> str:
        if request.param == "data":
            return data_url(content)
        if request.param == "s3":
            bucket: Bucket = request.getfixturevalue("bucket")
            return bucket.put("picture", content)
        path = tmp_path / "picture"
        path.write_bytes(content)
        return str(path) if request.param == "path" else f"file://{path}"

    return somewhere


def _refused(simulator: BackgroundSimulator, problem: str, **arguments: Any) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        repaint(**arguments).run_try()
    ledger = simulator.ledger(summary=True)
    assert ledger["totals"]["submissions"] == 0
    assert "upload" not in ledger["endpoints"]


def test_a_bad_picture_costs_nothing_wherever_it_lies(
    at_rest: BackgroundSimulator, put: Callable[[bytes], str]
) -> None:
    content, problem = BAD_PICTURES["tiny"]
    _refused(at_rest, problem, image=put(content()))


@pytest.mark.parametrize("bad", list(BAD_PICTURES))
def test_every_bad_picture_costs_nothing_be_it_portrait_or_reference(
    at_rest: BackgroundSimulator, file: Path, bad: str
) -> None:
    content, problem = BAD_PICTURES[bad]
    file.write_bytes(content())
    _refused(at_rest, problem, image=str(file))
    if bad != "long":
        _refused(
            at_rest, problem, image="https://example.com/a.jpg", style=-1, style_reference=f"file://{file}"
        )


def test_a_picture_that_is_only_doubtful_passes_with_a_warning(
    dashscope: BackgroundSimulator, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heavy = tmp_path / "heavy.jpg"
    heavy.write_bytes(heavy_picture(10_000_001))
    file.write_bytes(picture(300, 700))
    hook = DashScopeHook()
    request = repaint(image=str(heavy), style=-1, style_reference=str(file)).build().build_request(hook)
    log = capsys.readouterr().out
    assert set(request.identity) == {"image_url", "style_ref_url", "style_index"}
    assert f"{heavy} has 10000001 bytes; the model takes 10 MB at most" in log
    assert f"{file} has 300×700 pixels, 2.33:1; 2:1 at most is recommended" in log


@pytest.mark.parametrize("image", ["s3://no-such-bucket/a.png", "s3://{bucket}/no-such-key.png"])
def test_a_picture_that_s3_does_not_give_costs_nothing(
    at_rest: BackgroundSimulator, bucket: Bucket, image: str
) -> None:
    with pytest.raises(AirflowFailException, match="does not exist"):
        repaint(image=image.format(bucket=bucket.name)).run_try()
    assert submissions(at_rest) == 0


def test_nothing_is_uploaded_for_a_retry_that_goes_on_with_an_earlier_submission(
    at_rest: BackgroundSimulator, file: Path
) -> None:
    runner = repaint(image=str(file))
    assert runner.run_try() == runner.run_try()
    assert at_rest.ledger(summary=True)["endpoints"]["upload"]["requests"] == 1


def test_a_retry_goes_on_with_what_was_paid_for_even_if_the_picture_is_gone(
    at_rest: BackgroundSimulator, file: Path
) -> None:
    runner = repaint(image=str(file))
    task_id = runner.run_try()
    file.unlink()
    assert runner.run_try() == task_id


def test_a_picture_that_was_replaced_meanwhile_is_submitted_anew(
    at_rest: BackgroundSimulator, bucket: Bucket
) -> None:
    runner = repaint(image=bucket.put("a.png", picture()))
    task_id = runner.run_try()
    assert runner.run_try() == task_id
    bucket.put("a.png", picture(color="red"))
    assert runner.run_try() != task_id


def test_another_style_is_another_submission(at_rest: BackgroundSimulator) -> None:
    before = repaint(image="https://example.com/a.jpg", style="fresh")
    task_id = before.run_try()
    same = repaint(image="https://example.com/a.jpg", style="小清新")
    other = repaint(image="https://example.com/a.jpg", style="anime")
    same.store = other.store = before.store
    assert same.run_try() == task_id
    assert other.run_try() != task_id


def test_the_record_of_a_submission_holds_neither_key_nor_presigned_url(
    at_rest: BackgroundSimulator, bucket: Bucket
) -> None:
    runner = repaint(image=bucket.put("a.png", picture()))
    runner.run_try()
    assert runner.store is not None
    kept = str(runner.store.values) + str(runner.run.xcoms)
    assert at_rest.api_key not in kept
    assert "Signature" not in kept
    assert "Expires" not in kept


@pytest.mark.parametrize(
    ("of_connection", "given", "is_uploaded"),
    [(None, None, False), (None, "upload", True), ("upload", None, True), ("upload", "link", False)],
)
def test_a_picture_in_s3_is_linked_or_uploaded_as_operator_or_connection_say(
    at_rest: BackgroundSimulator,
    bucket: Bucket,
    set_connection: Callable[..., None],
    of_connection: str | None,
    given: str | None,
    is_uploaded: bool,
) -> None:
    set_connection("dashscope_default", at_rest.connection_json(image_transfer=of_connection))
    place = bucket.put("photo.heic", picture(kind="JPEG"))
    repaint(image=place, style=-1, style_reference=place, image_transfer=given).run_try()
    assert ("upload" in at_rest.ledger(summary=True)["endpoints"]) == is_uploaded
    (task,) = tasks(at_rest)
    assert task["image_url"].startswith("oss://" if is_uploaded else "http://")
    assert "photo" in task["image_url"]


def test_another_way_for_the_picture_is_refused(set_connection: Callable[..., None]) -> None:
    wrong: Any = "copy"
    with pytest.raises(ConfigurationError, match="image_transfer must be 'link' or 'upload', not 'copy'"):
        WanxStyleRepaintOperator(task_id="repaint", image="a", style=3, image_transfer=wrong)
    set_connection(
        "dashscope_default",
        '{"conn_type": "dashscope", "password": "sk-1", "extra": {"image_transfer": "copy"}}',
    )
    with pytest.raises(AirflowFailException, match="'dashscope_default': image_transfer must be"):
        repaint(image="https://example.com/a.jpg").run_try()


def test_arguments_are_templates(at_rest: BackgroundSimulator) -> None:
    runner = repaint(
        image="https://example.com/{{ run_id[:6] }}.jpg",
        style="{{ 'clay' }} world",
        dashscope_conn_id="{{ 'dashscope_default' }}",
        aws_conn_id="{{ 'aws_default' }}",
    )
    runner.run_try()
    (task,) = tasks(at_rest)
    assert (task["image_url"], task["style_index"]) == ("https://example.com/manual.jpg", 31)


def test_it_can_be_mapped_over_images_and_styles_and_survives_airflows_serialization() -> None:
    with DAG("mapped") as dag:
        WanxStyleRepaintOperator.partial(task_id="by_image", style=WanxStyle.CLAY_WORLD).expand(
            image=["s3://bucket/a.png", "s3://bucket/b.png"]
        )
        WanxStyleRepaintOperator.partial(task_id="by_both").expand_kwargs(
            [{"image": "s3://bucket/a.png", "style": WanxStyle.ANIME}, {"image": "b.png", "style": "fresh"}]
        )
    stored = stored_dag(dag)
    assert all(map(is_mapped, stored.tasks))
    unmapped = dag.get_task("by_image").unmap({"image": "s3://bucket/b.png"})
    assert isinstance(unmapped, WanxStyleRepaintOperator)
    assert (unmapped.image, unmapped.style, unmapped.aws_conn_id) == ("s3://bucket/b.png", 31, "aws_default")


def test_a_parameters_object_which_the_model_does_not_have_is_refused() -> None:
    with pytest.raises((TypeError, AirflowException), match="parameters"):
        WanxStyleRepaintOperator(task_id="repaint", image="a.png", style=3, parameters={"n": 2})
