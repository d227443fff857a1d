"""How the service words a task: its state, its times, and where each model puts its results."""

from __future__ import annotations

from typing import Any

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.painting.files import Item
from airflow_provider_wanx.simulator.tasks.job import Job, Status

_SINGLE_URL = {
    Family.IMAGE_URL: "image_url",
    Family.RESULT_URL: "result_url",
    Family.OUTPUT_IMAGE_URL: "output_image_url",
    Family.EMBEDDING: "url",
}


def task_output(job: Job, *, clock: Clock, urls: list[str]) -> dict[str, Any]:
    """Write the ``output`` of a task.

    :param job: the task.
    :param clock: translates its times.
    :param urls: an address for each of its results.
    """
    if job.status is Status.UNKNOWN:
        return unknown_output(job.task_id)
    output: dict[str, Any] = {
        "task_id": job.task_id,
        "task_status": str(job.status),
        "submit_time": clock.text(job.submitted),
    }
    if job.started is not None:
        output["scheduled_time"] = clock.text(job.started)
    if job.status in (Status.PENDING, Status.RUNNING):
        output["task_metrics"] = _unfinished_metrics(job)
        return output
    repaint = job.order.service.family is Family.REPAINT
    if job.ended is not None:
        # This model alone writes its end without milliseconds.
        output["end_time"] = clock.text(job.ended, milliseconds=not repaint)
    if job.status is Status.FAILED:
        return output | {"code": job.code, "message": job.message}
    if job.status is Status.SUCCEEDED:
        output |= _results(job, urls)
        if repaint:
            output |= {
                "start_time": clock.text(job.started or 0.0, milliseconds=False),
                "error_message": "Success",
                "error_code": 0,
                "style_index": job.order.style,
            }
        else:
            failed = sum(1 for item in job.items if item.blob is None)
            output["task_metrics"] = _metrics(len(job.items), len(job.items) - failed, failed)
    return output


def unknown_output(task_id: str) -> dict[str, Any]:
    """Write the ``output`` for a task that the service does not know, or not any more."""
    return {"task_id": task_id, "task_status": "UNKNOWN"}


def task_usage(job: Job) -> dict[str, Any] | None:
    """Write the ``usage`` beside it; None before the end."""
    if job.status is Status.FAILED:
        return {"image_count": 0}
    if job.status is not Status.SUCCEEDED:
        return None
    if job.order.service.family is Family.EMBEDDING:
        return {"total_tokens": job.billed}
    if job.order.service.family in (Family.TRANSCRIPTIONS, Family.TRANSCRIPTION):
        return {"duration": job.billed}
    return {"image_count": job.billed}


def _metrics(total: int, succeeded: int, failed: int) -> dict[str, int]:
    return {"TOTAL": total, "SUCCEEDED": succeeded, "FAILED": failed}


def _unfinished_metrics(job: Job) -> dict[str, int]:
    if job.order.service.family is Family.REPAINT and job.status is Status.RUNNING:
        # Both versions of this model's documents show a success here while the task still runs.
        return _metrics(1, 1, 0)
    many = job.order.service.family is Family.TRANSCRIPTIONS
    return _metrics(len(job.order.sources) if many else job.order.count, 0, 0)


def _results(job: Job, urls: list[str]) -> dict[str, Any]:
    family = job.order.service.family
    first = urls[0] if urls else ""
    if family in _SINGLE_URL:
        return {_SINGLE_URL[family]: first}
    pairs = list(zip(job.items, urls, strict=True))
    match family:
        case Family.POSTER:
            return {"render_urls": _of(pairs, "render"), "bg_urls": _of(pairs, "background")}
        case Family.BACKGROUND:
            return _background(job, pairs)
        case Family.WORDART:
            both = zip(_of(pairs, "png"), _of(pairs, "svg"), strict=False)
            return {"results": [{"png_url": png, "svg_url": svg} for png, svg in both]}
        case Family.SEGMENTATION:
            return {"output_img_url": first, "output_vis_image_url": urls[-1]}
        case Family.CHOICES:
            return {"choices": [_choice(url) for url in urls if url], "finished": True}
        case Family.TRANSCRIPTIONS:
            return {"results": [_transcript(item, url) for item, url in pairs]}
        case Family.TRANSCRIPTION:
            return {"result": {"transcription_url": first}}
        case _:
            return {"results": _listed(job, pairs)}


def _background(job: Job, pairs: list[tuple[Item, str]]) -> dict[str, Any]:
    texts = [{"url": url, "params": "{}"} for url in _of(pairs, "text")]
    pictures = [pair for pair in pairs if pair[0].role == "image"]
    return {"results": _listed(job, pictures), "text_results": {"urls": texts}}


def _of(pairs: list[tuple[Item, str]], role: str) -> list[str]:
    return [url for item, url in pairs if item.role == role and url]


def _listed(job: Job, pairs: list[tuple[Item, str]]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for item, url in pairs:
        if item.blob is None:
            rows.append({"code": item.code, "message": item.message})
        elif job.order.prompt and job.order.service.path.startswith("aigc/text2image"):
            rows.append({"orig_prompt": job.order.prompt, "actual_prompt": job.order.prompt, "url": url})
        else:
            rows.append({"url": url})
    return rows


def _choice(url: str) -> dict[str, Any]:
    return {
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": [{"type": "image", "image": url}]},
    }


def _transcript(item: Item, url: str) -> dict[str, str]:
    if item.blob is None:
        return {
            "file_url": item.source,
            "code": item.code,
            "message": item.message,
            "subtask_status": "FAILED",
        }
    return {"file_url": item.source, "transcription_url": url, "subtask_status": "SUCCEEDED"}
