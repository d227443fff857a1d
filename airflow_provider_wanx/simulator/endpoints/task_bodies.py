"""How the service words a task: its state, its times, and where each model puts its results."""

from __future__ import annotations

from typing import Any

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.painting.making import Item
from airflow_provider_wanx.simulator.queues import Job, Status

_SINGLE_URL = {
    Family.IMAGE_URL: "image_url",
    Family.OUTPUT_IMAGE_URL: "output_image_url",
    Family.VIDEO: "video_url",
}

# All others do without metrics once they have ended; these do without them before, too.
_METRICS_AT_THE_END = (Family.RESULTS, Family.TRANSCRIPTIONS)
_NO_METRICS = (Family.CHOICES, Family.TRANSCRIPTION)


def task_body(job: Job, *, clock: Clock, urls: list[str]) -> dict[str, Any]:
    """Write the answer to the question about a task, but for the request id; ``urls`` are those of its results."""
    if job.status is Status.UNKNOWN:
        return {"output": unknown_output(job.task_id)}
    body: dict[str, Any] = {"output": _output(job, clock=clock, urls=urls)}
    if job.status is Status.FAILED:
        # Only these models have the reason beside the output instead of in it.
        beside = job.order.service.family is Family.CHOICES
        (body if beside else body["output"]).update(code=job.code, message=job.message)
    usage = _usage(job)
    return body if usage is None else body | {"usage": usage}


def _output(job: Job, *, clock: Clock, urls: list[str]) -> dict[str, Any]:
    output: dict[str, Any] = {
        "task_id": job.task_id,
        "task_status": str(job.status),
        "submit_time": clock.text(job.submitted),
    }
    family = job.order.service.family
    if job.started is not None:
        output["scheduled_time"] = clock.text(job.started)
    if job.status in (Status.PENDING, Status.RUNNING):
        return output if family in _NO_METRICS else output | {"task_metrics": _unfinished_metrics(job)}
    repaint = family is Family.REPAINT
    if job.ended is not None:
        # This model alone writes its end without milliseconds.
        output["end_time"] = clock.text(job.ended, milliseconds=not repaint)
    if job.status is not Status.SUCCEEDED:
        return output
    output |= _results(job, urls)
    if repaint:
        output["start_time"] = clock.text(job.started or 0.0, milliseconds=False)
        output |= {"error_message": "Success", "error_code": 0, "style_index": job.order.style}
    elif family in _METRICS_AT_THE_END:
        total, failed = len(job.items), sum(1 for item in job.items if item.data is None)
        output["task_metrics"] = _metrics(total, total - failed, failed)
    return output


def unknown_output(task_id: str) -> dict[str, Any]:
    """Write the ``output`` for a task that the service does not know, or not any more."""
    return {"task_id": task_id, "task_status": "UNKNOWN"}


def _usage(job: Job) -> dict[str, Any] | None:
    """Write the ``usage`` beside the output; None where there is none."""
    order = job.order
    if job.status is Status.FAILED and order.service.counts_failures:
        return {"image_count": 0}
    if job.status is not Status.SUCCEEDED:
        return None
    size = "{}*{}".format(*order.size)
    match order.service.family:
        case Family.TRANSCRIPTIONS:
            return {"duration": job.billed}
        case Family.TRANSCRIPTION:
            return {"seconds": job.billed}
        case Family.VIDEO | Family.VIDEO_RESULTS:
            return {"video_count": job.billed, "video_duration": order.seconds, "video_ratio": size}
        case Family.CHOICES:
            tokens = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
            return {"image_count": job.billed, "size": size, **tokens}
        case _:
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
    pairs, first = list(zip(job.items, urls, strict=True)), urls[0] if urls else ""
    match job.order.service.family:
        case family if family in _SINGLE_URL:
            return {_SINGLE_URL[family]: first}
        case Family.CHOICES:
            return {"choices": [_choice(url) for url in urls if url], "finished": True}
        case Family.TRANSCRIPTIONS:
            return {"results": [_transcript(item, url) for item, url in pairs]}
        case Family.TRANSCRIPTION:
            return {"result": {"transcription_url": first}}
        case Family.VIDEO_RESULTS:
            return {"results": {"video_url": first}}
    prompt = job.order.prompt if job.order.service.path.startswith("aigc/text2image") else ""
    prompts = {"orig_prompt": prompt, "actual_prompt": prompt} if prompt else {}
    return {"results": [_failure(item) or {**prompts, "url": url} for item, url in pairs]}


def _failure(item: Item) -> dict[str, str]:
    return {"code": item.code, "message": item.message} if item.data is None else {}


def _choice(url: str) -> dict[str, Any]:
    content = [{"type": "image", "image": url}]
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}


def _transcript(item: Item, url: str) -> dict[str, str]:
    if failure := _failure(item):
        return {"file_url": item.source, **failure, "subtask_status": "FAILED"}
    return {"file_url": item.source, "transcription_url": url, "subtask_status": "SUCCEEDED"}
