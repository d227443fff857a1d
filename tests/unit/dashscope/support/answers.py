"""Answers for tests that need no server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_wanx.dashscope.api.answers import Answer

TASK_ID = "8a7ab4ff-4a39-4daf-a9a1-6a7f2a3c1b7e"


def answer(
    content: Any = b"",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    doing: str = f"read DashScope task {TASK_ID}",
) -> Answer:
    """An answer; what is not bytes becomes JSON."""
    if isinstance(content, bytes):
        return Answer(status, headers or {}, content, doing)
    named = {"content-type": "application/json", **(headers or {})}
    return Answer(status, named, json.dumps(content).encode(), doing)


def task_answer(output: Mapping[str, Any] | None = None, **beside: Any) -> Answer:
    """The answer about one task."""
    content = {"task_id": TASK_ID, "task_status": "SUCCEEDED", **(output or {})}
    return answer({"output": content, "request_id": "r-1", **beside})
