"""The commands, run in this process against a local DashScope; how they are started, tests/system/test_commands.py tells."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from airflow_provider_wanx.cli.output import print_rows
from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.jobs.submitting import lost_submissions
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.cli.conftest import Run
from tests.unit.support.airflow_names import AIRFLOW
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints, totals

FAST = ["--poll-interval", "0.1"]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, dashscope: BackgroundSimulator) -> list[str]:
    """The service by its key in the environment; the options that go with it."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", dashscope.api_key)
    return ["--host", dashscope.url]


@pytest.fixture
def portrait(tmp_path: Path) -> str:
    """A picture that the model takes."""
    path = tmp_path / "portrait.png"
    path.write_bytes(picture(300, 320))
    return str(path)


def test_styles_are_listed_with_all_their_names(run: Run) -> None:
    done = run("styles", "--output", "json")
    assert done.json == [
        {"number": int(style), "english": style.english, "chinese": style.chinese} for style in WanxStyle
    ]
    table = run("styles").out.splitlines()
    assert table[0].split() == ["NUMBER", "ENGLISH", "CHINESE"]
    assert "38      crayon world                  蜡笔世界" in table


def test_limits_are_those_of_the_account(run: Run, key: list[str]) -> None:
    done = run("limits", "--model", "wanx-style-repaint-v1", "-o", "json", *key)
    (row,) = done.json
    assert (row["seconds"], row["running_at_once"], row["queue"]) == (1, 1, 1000)
    assert len(run("limits", "-o", "json", *key).json) > 20


def test_limits_of_a_model_that_does_not_exist_are_an_error(run: Run, key: list[str]) -> None:
    done = run("limits", "--model", "no-such-model", *key)
    assert (done.code, done.out) == (1, "")
    assert "no limits for model 'no-such-model'" in done.err


def test_without_a_key_in_the_environment_the_airflow_connection_is_taken(
    run: Run, dashscope: BackgroundSimulator
) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    for connection in ([], ["--connection", "dashscope_default"]):
        done = run("tasks", "show", task_id, "-o", "json", *connection)
        assert (done.code, done.json["task_id"]) == (0, task_id)


def test_a_named_connection_counts_more_than_a_key_in_the_environment(
    run: Run, dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-somebody-else")
    assert run("tasks", "list", "--connection", "dashscope_default").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tasks", "list", "--connection", "nowhere"], "Airflow connection 'nowhere' cannot be read"),
        (["tasks", "list", "--host", "http://127.0.0.1:1"], "--host goes with a key in DASHSCOPE_API_KEY"),
    ],
)
def test_a_connection_that_cannot_be_used_is_wrong_use(run: Run, words: list[str], said: str) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    # Airflow 2 itself logs that there are no tables in its database here.
    its_own_words = done.err if AIRFLOW >= (3, 0) else done.err.splitlines()[-1]
    assert its_own_words.startswith(f"Error: {said}")
    assert "Traceback" not in its_own_words


def test_a_refused_key_is_an_error_that_does_not_show_it(
    run: Run, dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "bad-key-that-is-secret")
    done = run("tasks", "list", "--host", dashscope.url)
    assert (done.code, done.out) == (1, "")
    assert "InvalidApiKey" in done.err
    assert "secret" not in done.err


def test_tasks_are_listed_page_by_page_up_to_the_limit(
    run: Run, connect_dashscope: Callable[..., BackgroundSimulator]
) -> None:
    service = connect_dashscope(submit_rate=0, task_rate=0, max_page_size=3)
    ids = submit_repaints(service, *range(8))
    listed = run("tasks", "list", "-o", "json").json
    assert sorted(row["task_id"] for row in listed) == sorted(ids)
    assert len(run("tasks", "list", "--limit", "5", "-o", "json").json) == 5
    assert len(run("tasks", "list").out.splitlines()) == 9


def test_a_list_can_be_narrowed_to_a_state_and_a_wrong_state_is_wrong_use(
    run: Run, at_rest: BackgroundSimulator
) -> None:
    submit_repaints(at_rest, 0, 1)
    states = [row["status"] for row in run("tasks", "list", "--status", "PENDING", "-o", "json").json]
    assert states == ["PENDING"]
    assert run("tasks", "list", "--status", "Pending").code == 2


def test_a_task_is_shown_without_the_signature_of_its_result(
    run: Run, dashscope: BackgroundSimulator
) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    dashscope.advance(9)
    (url,) = run("tasks", "show", task_id, "-o", "json").json["results"]
    assert url.startswith(f"{dashscope.url}/results/")
    assert "?" not in url
    assert "?" not in run("tasks", "show", task_id).out


def test_only_a_queued_task_can_be_canceled(run: Run, at_rest: BackgroundSimulator) -> None:
    running, queued = submit_repaints(at_rest, 0, 1)
    assert run("tasks", "cancel", queued, "-o", "json").json == [{"task_id": queued, "canceled": True}]
    done = run("tasks", "cancel", running)
    assert done.code == 1
    assert "past canceling" in done.err


def test_an_id_that_the_service_does_not_know_is_an_error(run: Run, at_rest: BackgroundSimulator) -> None:
    (queued,) = submit_repaints(at_rest, 0, 1)[1:]
    shown = run("tasks", "show", "no-such-task", "-o", "json")
    assert (shown.code, shown.json["status"]) == (1, "UNKNOWN")
    assert "does not know task no-such-task" in shown.err
    # The others are canceled all the same.
    canceled = run("tasks", "cancel", "no-such-task", "not an id", queued, "-o", "json")
    assert canceled.code == 1
    assert [row["canceled"] for row in canceled.json] == [False, False, True]
    assert "does not know task no-such-task" in canceled.err
    assert "past canceling" not in canceled.err


def test_list_and_show_tell_the_same_times_and_how_to_save_the_result(
    run: Run, dashscope: BackgroundSimulator
) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    dashscope.advance(9)
    (row,) = run("tasks", "list", "-o", "json").json
    done = run("tasks", "show", task_id, "-o", "json")
    assert (done.json["submitted"], done.json["ended"]) == (row["submitted"], row["ended"])
    assert done.json["submitted"].endswith("+00:00")
    assert f"To save the results: tasks wait {task_id} --to PLACE" in done.err


def test_waiting_saves_what_has_succeeded_and_reports_the_rest(
    run: Run, dashscope: BackgroundSimulator, tmp_path: Path
) -> None:
    ids = submit_repaints(dashscope, 0, 1)
    dashscope.advance(20)
    done = run(
        "tasks",
        "wait",
        ids[0],
        "no-such-task",
        ids[1],
        "--to",
        "out/",
        "-o",
        "json",
        "--poll-interval",
        "0.1",
    )
    assert done.code == 1
    assert [row["status"] for row in done.json] == ["SUCCEEDED", "UNKNOWN", "SUCCEEDED"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{each}_0.jpg" for each in ids
    )
    assert "no-such-task is UNKNOWN" in done.err


def test_a_wait_that_is_over_has_an_exit_code_of_its_own(run: Run, at_rest: BackgroundSimulator) -> None:
    (task_id,) = submit_repaints(at_rest, 0)
    assert run("tasks", "wait", task_id, "--timeout", "0.2", "--poll-interval", "0.1").code == 3


class TestRepaint:
    """One portrait, from the command line."""

    def test_a_file_is_repainted_into_a_file(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator, portrait: str, tmp_path: Path
    ) -> None:
        done = run(
            "repaint", portrait, "--style", "蜡笔世界", "--to", "new/out.jpg", "-o", "json", *FAST, *key
        )
        assert done.code == 0, done.err
        saved = done.json
        assert (saved["style"], saved["place"], saved["cost"]) == (38, "new/out.jpg", 0.12)
        assert (tmp_path / "new" / "out.jpg").stat().st_size == saved["bytes"]
        assert Image.open(tmp_path / "new" / "out.jpg").format in {"JPEG", "PNG"}
        (task,) = dashscope.ledger()["tasks"]
        assert task["task_id"] == saved["task_id"]
        price, submitted = done.err.splitlines()[-2:]
        assert "in style 38 (crayon world), for 0.12 CNY if it succeeds" in price
        assert submitted == f"Submitted as DashScope task {saved['task_id']}."

    def test_without_a_place_the_result_is_named_by_its_task(
        self, run: Run, key: list[str], portrait: str, tmp_path: Path
    ) -> None:
        saved = run("repaint", portrait, "--style", "3", "-o", "json", *FAST, *key).json
        assert (tmp_path / saved["place"]).name == f"{saved['task_id']}_0.jpg"
        mask = os.umask(0)
        os.umask(mask)
        assert (tmp_path / saved["place"]).stat().st_mode & 0o777 == 0o666 & ~mask

    def test_an_object_is_repainted_into_an_object(self, run: Run, key: list[str], bucket: Bucket) -> None:
        bucket.put("in.png", picture(300, 320))
        source, place = f"s3://{bucket.name}/in.png", f"s3://{bucket.name}/out/"
        saved = run("repaint", source, "--style", "3", "--to", place, "-o", "json", *FAST, *key).json
        assert saved["place"] == f"{place}{saved['task_id']}_0.jpg"
        assert len(bucket.body(saved["place"].removeprefix(f"s3://{bucket.name}/"))) == saved["bytes"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["missing.png", "--style", "3"], "The file does not exist: image 'missing.png'"),
            (["portrait.png", "--style", "nonsense"], "style 'nonsense' is not known"),
            (["portrait.png", "--style", "-1"], "style -1 takes the style from a picture"),
            (
                ["portrait.png", "--style", "3", "--style-reference", "portrait.png"],
                "goes with style -1 only",
            ),
            (
                ["text.png", "--style", "3"],
                "The file is text; the model takes JPEG, PNG, BMP, WEBP: text.png",
            ),
            (["portrait.png", "--style", "3", "--to", "portrait.png"], "portrait.png exists"),
            (["portrait.png", "--style", "3", "--to", "portrait.png/x.jpg"], "nothing can be written"),
            (["data:nonsense", "--style", "3"], "is not a readable data: URL"),
        ],
    )
    def test_what_is_wrong_is_found_before_anything_is_paid_for(
        self,
        run: Run,
        key: list[str],
        dashscope: BackgroundSimulator,
        portrait: str,
        tmp_path: Path,
        words: list[str],
        said: str,
    ) -> None:
        (tmp_path / "text.png").write_text("no picture")
        done = run("repaint", *words, *key)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert totals(dashscope)["accepted"] == 0

    @pytest.mark.parametrize("place", ["s3://no-such-bucket-here/out.jpg", "s3://{bucket}/there.jpg"])
    def test_so_is_a_place_in_s3_that_cannot_be_used(
        self,
        run: Run,
        key: list[str],
        dashscope: BackgroundSimulator,
        portrait: str,
        bucket: Bucket,
        place: str,
    ) -> None:
        bucket.put("there.jpg", b"something")
        done = run("repaint", portrait, "--style", "3", "--to", place.format(bucket=bucket.name), *key)
        assert done.code in {1, 2}
        assert done.err.splitlines()[-1].startswith("Error: ")
        assert totals(dashscope)["accepted"] == 0

    def test_a_result_that_is_late_can_be_had_by_its_id(
        self, run: Run, at_rest: BackgroundSimulator, portrait: str, tmp_path: Path
    ) -> None:
        done = run("repaint", portrait, "--style", "3", "--timeout", "0.2", "--poll-interval", "0.1")
        assert (done.code, done.out) == (3, "")
        (task,) = at_rest.ledger()["tasks"]
        assert f"To have the result later: tasks wait {task['task_id']} --to PLACE" in done.err
        at_rest.advance(9)
        assert run("tasks", "wait", task["task_id"], "--to", "late.jpg").code == 0
        assert (tmp_path / "late.jpg").exists()

    def test_a_failed_task_costs_nothing_and_is_said_to(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str
    ) -> None:
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", times=1)
        done = run("repaint", portrait, "--style", "3", *FAST)
        assert (done.code, done.out) == (1, "")
        assert "A failed task is not billed." in done.err
        assert "To have the result later" not in done.err

    def test_a_lost_answer_is_found_in_the_list_and_not_paid_for_twice(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0, 0.0))
        dashscope.add_fault(endpoint="submit", kind="lose_answer", times=1)
        done = run("repaint", portrait, "--style", "3", *FAST)
        assert done.code == 0, done.err
        assert totals(dashscope)["accepted"] == 1

    def test_a_lost_answer_that_the_list_does_not_settle_stops_until_the_user_takes_the_risk(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0, 0.0))
        dashscope.add_fault(endpoint="submit", kind="lose_answer", times=1)
        dashscope.add_fault(endpoint="list_tasks", kind="status", status=403)
        for _ in range(2):
            done = run("repaint", portrait, "--style", "3", *FAST)
            assert done.code == 1
            assert "call the command with --resubmit" in done.err
        assert totals(dashscope)["accepted"] == 1
        assert run("repaint", portrait, "--style", "3", "--resubmit", *FAST).code == 0
        assert totals(dashscope)["accepted"] == 2

    def test_a_command_that_is_called_again_goes_on_with_its_task_until_that_is_saved(
        self, run: Run, at_rest: BackgroundSimulator, portrait: str
    ) -> None:
        words = ("repaint", portrait, "--style", "3", "-o", "json", "--poll-interval", "0.1", "--timeout")
        assert run(*words, "0.2").code == 3
        at_rest.advance(9)
        done = run(*words, "60")
        (task,) = at_rest.ledger()["tasks"]
        assert done.json["task_id"] == task["task_id"]
        assert "which the same command has submitted before" in done.err
        assert run(*words, "0.2").code == 3
        assert totals(at_rest)["accepted"] == 2

    def test_a_task_that_is_not_known_is_not_submitted_again(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str
    ) -> None:
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="UNKNOWN", times=1)
        for _ in range(2):
            assert run("repaint", portrait, "--style", "3", *FAST).code == 1
        assert totals(dashscope)["accepted"] == 1

    def test_nothing_is_sent_where_no_record_can_be_kept(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", portrait)
        done = run("repaint", portrait, "--style", "3", *FAST)
        assert (done.code, done.out) == (1, "")
        assert f"record {portrait}/airflow-provider-wanx/" in done.err
        assert totals(dashscope)["accepted"] == 0


class TestSeveral:
    """Several portraits from the command line."""

    @pytest.fixture
    def portraits(self, tmp_path: Path) -> list[str]:
        """Three pictures that differ."""
        paths = [tmp_path / f"{number}.png" for number in range(3)]
        for number, path in enumerate(paths):
            path.write_bytes(picture(300 + number, 320))
        return list(map(str, paths))

    def test_a_command_that_is_called_again_pays_for_nothing_that_it_has_saved(
        self, run: Run, dashscope: BackgroundSimulator, portraits: list[str]
    ) -> None:
        words = ("repaint", *portraits, "--style", "3", "--to", "out/", "-o", "json", *FAST)
        dashscope.add_fault(endpoint="submit", kind="status", status=400, code="Arrearage", after=1, times=1)
        assert run(*words).code == 1
        done = run(*words)
        assert (done.code, len(done.json), totals(dashscope)["accepted"]) == (0, 3, 3)
        assert run(*words).code == 0
        assert totals(dashscope)["accepted"] == 6

    def test_a_lost_answer_is_not_taken_for_the_picture_before_it(
        self, run: Run, dashscope: BackgroundSimulator, portraits: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0, 0.0))
        dashscope.add_fault(endpoint="submit", kind="lose_answer", after=2, times=1)
        done = run("repaint", *portraits, "--style", "3", "--to", "out/", "-o", "json", *FAST)
        assert (done.code, len(done.json)) == (0, 3), done.err
        assert totals(dashscope)["accepted"] == 3

    def test_pictures_and_folders_are_repainted_into_a_folder(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator, portrait: str, tmp_path: Path
    ) -> None:
        (tmp_path / "more" / "deep").mkdir(parents=True)
        for number, name in enumerate(("b.png", "a.jpg", "deep/c.webp")):
            (tmp_path / "more" / name).write_bytes(picture(300 + number, 320))
        (tmp_path / "more" / "notes.txt").write_text("no picture")
        done = run("repaint", portrait, "more", "--style", "3", "--to", "out/", "-o", "json", *FAST, *key)
        assert done.code == 0, done.err
        assert [Path(row["image"]).name for row in done.json] == ["portrait.png", "a.jpg", "b.png", "c.webp"]
        assert "Repainting 4 pictures in style 3" in done.err
        assert "for 0.48 CNY if all succeed" in done.err
        assert len(list((tmp_path / "out").iterdir())) == 4
        assert totals(dashscope)["accepted"] == 4

    def test_a_folder_in_s3_is_repainted_too(self, run: Run, key: list[str], bucket: Bucket) -> None:
        for name in ("in/a.png", "in/b.png"):
            bucket.put(name, picture(300, 320))
        folder = f"s3://{bucket.name}/in/"
        done = run("repaint", folder, "--style", "3", "--to", f"s3://{bucket.name}/out/", *FAST, *key)
        assert done.code == 0, done.err
        assert len([name for name in bucket.keys() if name.startswith("out/")]) == 2  # noqa: SIM118 - no dictionary

    @pytest.mark.parametrize("words", [["--to", "one.jpg"], ["bad.png"], ["empty/"]])
    def test_what_is_wrong_with_one_is_found_before_any_is_paid_for(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator, portrait: str, tmp_path: Path, words: list[str]
    ) -> None:  # fmt: skip
        (tmp_path / "bad.png").write_text("no picture")
        (tmp_path / "empty").mkdir()
        done = run("repaint", portrait, portrait, *words, "--style", "3", *key)
        assert (done.code, done.out) == (2, "")
        assert totals(dashscope)["accepted"] == 0

    def test_one_that_fails_costs_nothing_and_keeps_none_of_the_others(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str
    ) -> None:
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", times=1)
        done = run("repaint", portrait, portrait, "--style", "3", "--to", "out/", "-o", "json", *FAST)
        assert (done.code, len(done.json)) == (1, 1)
        assert "A failed task is not billed." in done.err

    def test_one_that_is_not_taken_ends_the_submissions_and_what_was_submitted_is_saved(
        self, run: Run, dashscope: BackgroundSimulator, portrait: str
    ) -> None:
        dashscope.add_fault(endpoint="submit", kind="status", status=400, code="Arrearage", after=1, times=1)
        done = run("repaint", *[portrait] * 3, "--style", "3", "--to", "out/", "-o", "json", *FAST)
        assert (done.code, len(done.json)) == (1, 1)
        assert "Arrearage" in done.err
        assert totals(dashscope)["accepted"] == 1


class TestSubmit:
    """A task of any model."""

    WORDS = ("submit", "aigc/text2image/image-synthesis", "wanx2.1-t2i-turbo")

    def test_it_is_submitted_and_its_id_printed(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator
    ) -> None:
        done = run(*self.WORDS, "--input", '{"prompt": "1984"}', "-o", "json", *key)
        assert done.code == 0, done.err
        (task,) = dashscope.ledger()["tasks"]
        assert (done.json["task_id"], task["model"]) == (task["task_id"], "wanx2.1-t2i-turbo")

    def test_its_results_are_saved(self, run: Run, key: list[str], tmp_path: Path) -> None:
        (tmp_path / "input.json").write_text('{"prompt": "A lighthouse"}')
        words = ["--input", "@input.json", "--parameters", '{"n": 2, "size": "256*256"}', "--to", "out/"]
        done = run(*self.WORDS, *words, "-o", "json", *FAST, *key)
        assert done.code == 0, done.err
        assert (done.json["status"], done.json["images_billed"]) == ("SUCCEEDED", 2)
        assert len(done.json["saved"]) == len(list((tmp_path / "out").iterdir())) == 2

    def test_a_file_is_uploaded_into_a_field_of_the_input(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator, portrait: str
    ) -> None:
        words = ("submit", "aigc/image-generation/generation", "wanx-style-repaint-v1")
        file = f"image_url={portrait}"
        done = run(
            *words, "--input", '{"style_index": 3}', "--file", file, "--wait", "-o", "json", *FAST, *key
        )
        assert (done.code, done.json["status"]) == (0, "SUCCEEDED"), done.err
        assert totals(dashscope)["billed"] == 1

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "There is no input"),
            (["--input", "[1]"], "--input is no JSON object"),
            (["--input", "{"], "--input is no JSON"),
            (["--input", "@missing.json"], "No such file"),
            (["--input", '{"prompt": "x"}', "--parameters", "7"], "--parameters is no JSON object"),
            (["--file", "image_url"], "is not like image_url=portrait.jpg"),
            (["--file", "image_url=missing.jpg"], "there is no such file"),
            (["--input", '{"prompt": "x"}', "--to", "input.txt/x"], "nothing can be written"),
        ],
    )
    def test_what_is_wrong_is_found_before_anything_is_paid_for(
        self, run: Run, key: list[str], dashscope: BackgroundSimulator, tmp_path: Path, words: list[str], said: str
    ) -> None:  # fmt: skip
        (tmp_path / "input.txt").write_text("a file")
        done = run(*self.WORDS, *words, *key)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert totals(dashscope)["accepted"] == 0


def test_what_a_service_says_cannot_command_the_terminal(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    print_rows([{"name": "\x1b[31mred\x07"}], ["name"], output="table")
    assert capsys.readouterr().out == "NAME\n [31mred\n"
