from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.dashscope.api.results import find_results

_A = "https://r.example/a.png?Expires=1&Signature=x"
_B = "http://r.example/b.png"
_C = "https://r.example/c.svg"
_IN = "https://in.example/portrait.jpg"


def _found(output: dict[str, Any]) -> list[tuple[str, str]]:
    files, _ = find_results(output)
    assert [file.index for file in files] == list(range(len(files)))
    return [(file.path, file.url) for file in files]


# One row for every shape of the family's table.
_SHAPES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "style repaint, as recorded": (
        {
            "task_id": "t-1",
            "task_status": "SUCCEEDED",
            "submit_time": "2024-03-02 22:22:13.026",
            "end_time": "2024-03-02 22:22:21",
            "error_message": "Success",
            "error_code": 0,
            "style_index": 3,
            "results": [{"url": _A}],
        },
        [("results[0].url", _A)],
    ),
    "style repaint, as the older field table has it": ({"result_url": _A}, [("result_url", _A)]),
    "messages and choices": (
        {
            "choices": [
                {
                    "finish_reason": "stop",
                    "message": {
                        "role": "assistant",
                        "content": [{"type": "text", "text": "Here"}, {"type": "image", "image": _A}],
                    },
                },
                {"message": {"content": [{"image": _B}]}},
            ],
            "finished": True,
        },
        [("choices[0].message.content[1].image", _A), ("choices[1].message.content[0].image", _B)],
    ),
    "text to image with a failed part": (
        {
            "results": [
                {"orig_prompt": "https://not.a/result", "actual_prompt": "a cat", "url": _A},
                {"code": "InternalError.Timeout", "message": "An internal timeout error"},
                {"url": _B},
            ],
            "task_metrics": {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1},
        },
        [("results[0].url", _A), ("results[2].url", _B)],
    ),
    "poster": (
        {"render_urls": [_A], "bg_urls": [_B, _C]},
        [("render_urls[0]", _A), ("bg_urls[0]", _B), ("bg_urls[1]", _C)],
    ),
    "image edit": ({"results": [{"url": _A}, {"url": _B}]}, [("results[0].url", _A), ("results[1].url", _B)]),
    "image translation and try-on": ({"image_url": _A}, [("image_url", _A)]),
    "segmentation": (
        {"output_img_url": _A, "output_vis_image_url": _B},
        [("output_img_url", _A), ("output_vis_image_url", _B)],
    ),
    "erasing and out-painting": ({"output_image_url": _A}, [("output_image_url", _A)]),
    "background": (
        {"results": [{"url": _A}], "text_results": {"urls": [{"url": _B, "params": "{}"}], "params": {}}},
        [("results[0].url", _A), ("text_results.urls[0].url", _B)],
    ),
    "word art": (
        {"results": [{"png_url": _A, "svg_url": _C}]},
        [("results[0].png_url", _A), ("results[0].svg_url", _C)],
    ),
    "video": ({"video_url": _A, "orig_prompt": "p", "actual_prompt": "p"}, [("video_url", _A)]),
    "video style transform": ({"output_video_url": _A}, [("output_video_url", _A)]),
    "results as an object": ({"results": {"video_url": _A}}, [("results.video_url", _A)]),
    "3d": (
        {"results": {"pbr_model_url": _A, "base_model_url": _B, "rendered_image_url": _C}},
        [("results.pbr_model_url", _A), ("results.base_model_url", _B), ("results.rendered_image_url", _C)],
    ),
    "transcription": (
        {
            "results": [
                {"file_url": _IN, "transcription_url": _A, "subtask_status": "SUCCEEDED"},
                {
                    "file_url": _IN,
                    "code": "InvalidFile.DownloadFailed",
                    "message": "no",
                    "subtask_status": "FAILED",
                },
            ]
        },
        [("results[0].transcription_url", _A)],
    ),
    "transcription, one file": ({"result": {"transcription_url": _A}}, [("result.transcription_url", _A)]),
    "embedding": ({"url": _A}, [("url", _A)]),
    "sound": ({"results": [{"audio": _A}]}, [("results[0].audio", _A)]),
    "nothing yet": ({"task_status": "RUNNING"}, []),
    "an empty place": ({"results": [{"url": ""}, {"url": None}, {}]}, []),
}


@pytest.mark.parametrize("shape", _SHAPES)
def test_results_are_found_in_every_shape_of_the_family(shape: str) -> None:
    output, expected = _SHAPES[shape]

    assert _found(output) == expected


def test_parts_that_failed_are_reported_beside_the_results() -> None:
    _, failures = find_results(_SHAPES["text to image with a failed part"][0])

    assert [(failure.path, failure.code, failure.message) for failure in failures] == [
        ("results[1]", "InternalError.Timeout", "An internal timeout error")
    ]


def test_a_failed_part_that_echoes_its_input_is_a_failure_and_no_result() -> None:
    files, failures = find_results(_SHAPES["transcription"][0])

    assert [file.url for file in files] == [_A]
    assert [(failure.path, failure.code) for failure in failures] == [
        ("results[1]", "InvalidFile.DownloadFailed")
    ]


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ({"code": "X"}, True),
        ({"code": "X", "message": 5}, True),
        ({"code": ""}, False),
        ({"code": None}, False),
        ({"code": 200, "url": _A}, False),
        ({"code": "Success", "url": _A}, False),
    ],
)
def test_a_part_has_failed_if_it_has_a_code_and_no_file(part: dict[str, Any], counts: bool) -> None:
    files, failures = find_results({"results": [part]})

    assert bool(failures) is counts
    assert [file.url for file in files] == ([_A] if "url" in part else [])


def test_the_reason_of_the_whole_task_is_no_failed_part() -> None:
    assert find_results({"task_status": "FAILED", "code": "InvalidURL", "message": "no"}) == ((), ())


@pytest.mark.parametrize(
    "key",
    [
        "file_url",
        "img_url",
        "style_ref_url",
        "base_image_url",
        "ref_image_url",
        "mask_image_url",
        "background_image_url",
        "person_image_url",
        "top_garment_url",
        "bottom_garment_url",
        "template_image_url",
        "shoe_image_url",
        "first_frame_url",
        "last_frame_url",
    ],
)
def test_an_input_that_the_answer_repeats_is_no_result(key: str) -> None:
    assert _found({key: _IN, "results": [{key: _IN, "url": _A}]}) == [("results[0].url", _A)]


@pytest.mark.parametrize("key", ["file_urls", "reference_urls"])
def test_a_list_of_inputs_that_the_answer_repeats_is_no_result(key: str) -> None:
    assert _found({key: [_IN], "result_url": _A}) == [("result_url", _A)]


def test_whole_branches_of_repeated_input_are_passed_over() -> None:
    echoed = {"image_url": _IN, "urls": [_IN], "deeper": {"url": _IN}}

    assert _found({"input": echoed, "parameters": echoed, "url": _A}) == [("url", _A)]


def test_an_image_url_below_the_top_counts_only_where_results_are() -> None:
    assert _found({"meta": {"image_url": _IN}, "results": [{"image_url": _A}]}) == [
        ("results[0].image_url", _A)
    ]


def test_a_url_that_appears_twice_is_one_result() -> None:
    assert _found({"results": [{"url": _A}, {"url": _A}], "result_url": _A}) == [("results[0].url", _A)]


@pytest.mark.parametrize(
    "value", ["oss://bucket/key", "data:image/png;base64,AA", "r.example/a.png", 7, True]
)
def test_what_is_no_web_address_is_no_result(value: object) -> None:
    assert _found({"results": [{"url": value}], "urls": [value]}) == []


def test_urls_under_other_keys_are_no_results() -> None:
    assert _found({"documentation": _IN, "list": [_IN], "results": [[_IN], {"see": _IN}]}) == []


def test_answers_deeper_than_any_real_one_are_not_followed() -> None:
    shallow: dict[str, Any] = {"url": _A}
    for _ in range(12):
        shallow = {"x": shallow}

    assert len(_found(shallow)) == 1
    assert _found({"x": shallow}) == []
