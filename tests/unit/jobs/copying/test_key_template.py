"""Keys of results."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.models import ResultFile, Task, TaskStatus
from airflow_provider_wanx.jobs.copying.key_template import FIELDS, KeyTemplate

RUN = "manual__2026-11-23T10:00:00+00:00"


def task(task_id: str = "id-1", *, results: int = 1, **output: object) -> Task:
    files = tuple(
        ResultFile(url=f"https://example.com/{number}.jpg", path=f"results[{number}].url", index=number)
        for number in range(results)
    )
    return Task(task_id=task_id, status=TaskStatus.SUCCEEDED, results=files, output=output)


def key(template: str, of: Task | None = None, index: int = 0, source: str | None = None) -> str:
    return KeyTemplate(template).render_result(
        of or task(style_index=31), index, extension=".jpg", run_id=RUN, source=source
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a/{dashscope_task_id}_{index}{extension}", "a/id-1_0.jpg"),
        ("{run_id}/{style}/{style_name}.x", "manual__2026-11-23T10-00-00-00-00/31/clay-world.x"),
        ("/leading/slash{extension}", "leading/slash.jpg"),
        ("portraits/", "portraits/id-1_0.jpg"),
        ("fixed.jpg", "fixed.jpg"),
        ("肖像/{index}", "肖像/0"),
        ("X/{index}", "X/0"),
    ],
)
def test_fields_are_filled_in(template: str, expected: str) -> None:
    assert key(template) == expected


def test_a_task_without_a_style_and_one_with_a_new_one_have_keys_too() -> None:
    assert key("{style}-{style_name}", task()) == "none-no-style"
    assert key("{style}-{style_name}", task(style_index=77)) == "77-style-77"
    assert key("{style}", task(style_index=-1)) == "-1"


def test_the_name_of_the_source_is_filled_in_where_it_is_known() -> None:
    assert key("{source_name}{extension}", source="s3://people/2026/Ann B.png") == "Ann-B.jpg"
    assert key("{index}") == key("{index}", source="s3://people/Ann.png") == "0"


def test_a_template_with_the_name_of_a_source_that_nobody_knows_is_told_with_the_task() -> None:
    with pytest.raises(InvalidInputError, match=r"{source_name}.* what DashScope task id-9 was made from"):
        key("{source_name}", task("id-9"))


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "s3_key is empty"),
        ("/", "s3_key is empty"),
        (
            "{task_id}",
            "s3_key has {task_id}, which is not known. Known are {dashscope_task_id}, {index}, {style}",
        ),
        ("{}", "s3_key has {}, which is not known"),
        ("{0}", "s3_key has {0}, which is not known"),
        ("{index!r}", "which is not known"),
        ("{index:03}", "which is not known"),
        ("{dashscope_task_id.__class__}", "which is not known"),
        ("{index", "cannot be read"),
        ("index}", "cannot be read"),
        ("a/../b/{index}", "is no safe key"),
        ("../{index}", "is no safe key"),
        ("./{index}", "is no safe key"),
        ("s3://bucket/{index}", "is a URL. Give its bucket as s3_bucket"),
    ],
)
def test_a_bad_template_is_told_before_anything_is_copied(template: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(problem)):
        KeyTemplate(template)


def test_values_cannot_climb_out_of_the_prefix() -> None:
    assert (
        KeyTemplate("a/{run_id}/b").render_result(task(), 0, extension="", run_id="../../etc")
        == "a/..-..-etc/b"
    )
    with pytest.raises(InvalidInputError, match="no safe key"):
        KeyTemplate("a/{run_id}/b").render_result(task(), 0, extension="", run_id="..")


@pytest.mark.parametrize("template", ["{extension}", "a/{extension}", "{extension}/a"])
def test_a_key_that_becomes_empty_or_a_folder_is_told(template: str) -> None:
    with pytest.raises(InvalidInputError, match="no safe key"):
        KeyTemplate(template).render_result(task(), 0, extension="", run_id=RUN)


def test_a_key_longer_than_s3_takes_is_told() -> None:
    assert len(key("x" * 1024)) == 1024
    with pytest.raises(InvalidInputError, match="no safe key"):
        key("x" * 1025)
    with pytest.raises(InvalidInputError, match="no safe key"):
        key("肖" * 342)


@pytest.mark.parametrize(
    ("template", "collides"),
    [
        ("{dashscope_task_id}_{index}", False),
        ("{dashscope_task_id}/", False),
        ("{dashscope_task_id}", True),
        ("{index}{extension}", True),
        ("{style}.jpg", True),
    ],
)
def test_two_results_with_one_key_are_found_out_before_the_first_is_written(
    template: str, collides: bool
) -> None:
    tasks = [task("id-1", results=2), task("id-2", results=1)]
    if collides:
        with pytest.raises(
            InvalidInputError,
            match=r"^s3_key gives two results the same key: .*Put {dashscope_task_id} and {index} into it",
        ):
            KeyTemplate(template).check_distinct(tasks, run_id=RUN)
    else:
        KeyTemplate(template).check_distinct(tasks, run_id=RUN)


def test_a_collision_names_both_results() -> None:
    with pytest.raises(
        InvalidInputError, match="the same key: result 0 of task id-1 and result 0 of task id-2"
    ):
        KeyTemplate("{index}").check_distinct([task("id-1"), task("id-2")], run_id=RUN)


def test_results_with_sources_of_their_own_have_keys_of_their_own() -> None:
    tasks = [task("id-1"), task("id-2")]
    template = KeyTemplate("{source_name}")
    template.check_distinct(tasks, run_id=RUN, sources={"id-1": "s3://a/Ann.png", "id-2": "s3://a/Bea.png"})

    with pytest.raises(InvalidInputError, match="result 0 of task id-1 and result 0 of task id-2"):
        template.check_distinct(tasks, run_id=RUN, sources=dict.fromkeys(["id-1", "id-2"], "s3://a/Ann.png"))
    with pytest.raises(InvalidInputError, match="what DashScope task id-2 was made from"):
        template.check_distinct(tasks, run_id=RUN, sources={"id-1": "s3://a/Ann.png"})


def test_what_a_task_made_instead_of_files_counts_as_one_result_and_a_task_that_made_nothing_as_none() -> (
    None
):
    data = [task(task_id, results=0, template_id="template-7") for task_id in ("id-1", "id-2")]
    nothing = [task(task_id, results=0) for task_id in ("id-1", "id-2")]

    KeyTemplate("{index}").check_distinct(nothing, run_id=RUN)
    with pytest.raises(InvalidInputError, match="result 0 of task id-1 and result 0 of task id-2"):
        KeyTemplate("{index}").check_distinct(data, run_id=RUN)


def test_a_key_that_is_nothing_but_an_extension_is_told_before_the_first_is_written() -> None:
    with pytest.raises(InvalidInputError, match="no safe key"):
        KeyTemplate("{extension}").check_distinct([task()], run_id=RUN)


_PIECES = st.sampled_from([*[f"{{{name}}}" for name in FIELDS], "/", "a", "-", "."])


@settings(deadline=None)
@given(
    template=st.lists(_PIECES, min_size=1, max_size=8).map("".join),
    task_id=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    run_id=st.text(min_size=1, max_size=20),
    extension=st.sampled_from(["", ".jpg", ".PNG", ".tar.gz"]),
    style=st.none() | st.integers(-1, 99),
)
def test_whatever_is_filled_in_the_key_is_safe_or_refused_and_the_same_each_time(
    template: str, task_id: str, run_id: str, extension: str, style: int | None
) -> None:
    of = task(task_id, style_index=style)
    try:
        once, again = [
            KeyTemplate(template).render_result(of, 0, extension=extension, run_id=run_id) for _ in range(2)
        ]
    except InvalidInputError:
        return
    assert once == again
    assert 0 < len(once.encode()) <= 1024
    assert not once.startswith("/")
    assert not once.endswith("/")
    assert not {".", ".."} & set(once.split("/"))
    # Letters and digits of any script; nothing that controls, quotes or directs text.
    assert re.fullmatch(r"[\w.=/-]+", once)


@pytest.mark.parametrize("template", ["_ledger/{index}", "out/_ledger/rows-000000.jsonl", "/a//_ledger/"])
def test_the_ledger_of_a_batch_is_no_place_for_results(template: str) -> None:
    with pytest.raises(InvalidInputError, match="where a batch remembers what it has paid for"):
        KeyTemplate(template)


def test_nor_is_it_when_the_name_comes_from_a_field() -> None:
    template = KeyTemplate("{source_name}/{index}")
    assert template.render({"source_name": "my_ledger", "index": "0"}) == "my_ledger/0"
    with pytest.raises(InvalidInputError, match="where a batch remembers what it has paid for"):
        template.render({"source_name": "_ledger", "index": "0"})
