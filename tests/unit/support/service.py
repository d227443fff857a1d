"""What tests ask of the service beside what they test."""

from __future__ import annotations

import httpx

from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator


def submit_repaints(simulator: BackgroundSimulator, *styles: int) -> list[str]:
    """Submit a repaint of the simulator's own portrait in each style; return the ids."""
    with DashScopeHook() as hook:
        return [
            hook.submit_task(
                service="aigc/image-generation/generation",
                model="wanx-style-repaint-v1",
                input={"image_url": simulator.portrait_url, "style_index": style},
            ).task_id
            for style in styles
        ]


def submit_lighthouses(count: int) -> str:
    """Submit a task that has several results."""
    with DashScopeHook() as hook:
        return hook.submit_task(
            service="aigc/text2image/image-synthesis",
            model="wanx2.1-t2i-turbo",
            input={"prompt": "A lighthouse"},
            parameters={"n": count, "size": "256*256"},
        ).task_id


def originals(task_id: str) -> list[bytes]:
    """Download a task's results as the service has them."""
    with DashScopeHook() as hook:
        return [httpx.get(file.url, trust_env=False).content for file in hook.get_task(task_id).results]


def totals(simulator: BackgroundSimulator) -> dict[str, int]:
    """Return the sums of the simulator's ledger."""
    found: dict[str, int] = simulator.ledger(summary=True)["totals"]
    return found


def states(simulator: BackgroundSimulator) -> list[str]:
    """Return the states of all tasks, in the order of their submission."""
    return [task["status"] for task in simulator.ledger()["tasks"]]
