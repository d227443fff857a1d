"""What there is to tell of a task; nothing here needs OpenLineage, so that tasks may collect it at no cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.repaint import repaint_cost

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.models import Task


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a task reads and makes. None is for what is not known.

    :param inputs: addresses of what it reads.
    :param outputs: addresses of what it makes.
    :param sizes: size in bytes of outputs, by their address.
    :param dashscope_task_ids: ids of the service's tasks.
    :param model: the model's name.
    :param styles: numbers of the styles.
    :param price: of one image, in CNY.
    :param images: images that the service bills.
    :param cost: what they cost, in CNY.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    dashscope_task_ids: tuple[str, ...] = ()
    model: str | None = None
    styles: tuple[int, ...] = ()
    price: float | None = None
    images: int | None = None
    cost: float | None = None


def task_address(dashscope_task_id: str) -> str:
    """Return the address under which one of the service's tasks links what was submitted with what was copied."""
    return f"dashscope://tasks/{dashscope_task_id}"


def made_by(tasks: Iterable[Task]) -> dict[str, Any]:
    """Say what ended tasks have made, as a small JSON object.

    :return: ``images`` that are billed, their ``cost`` in CNY where the price is known, and the numbers of ``styles``.
    """
    good = [task for task in tasks if task.status is TaskStatus.SUCCEEDED]
    costs = [cost for task in good if (cost := repaint_cost(task)) is not None]
    return {
        "images": sum((task.usage.image_count or 0) for task in good if task.usage is not None),
        "cost": float(sum(costs)) if costs else None,
        "styles": sorted({task.style_index for task in good if task.style_index is not None}),
    }
