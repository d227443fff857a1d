"""The images that a run may pay for."""

from __future__ import annotations

from typing import Any

from airflow_provider_wanx.dashscope import TaskStatus
from tests.conformance.core import NotObservedError

MOST_IMAGES = 5
"""What a whole run pays for if the service does as expected, and the most that may be asked for."""


class Purse:
    """Counts the images that were paid for or still may have to be, and never lets them be more than allowed.

    :param images: the most.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self.paid = 0
        self._open: set[str] = set()

    @property
    def pending(self) -> int:
        """How many images may still have to be paid for."""
        return len(self._open)

    @property
    def unsettled(self) -> list[str]:
        """The tasks whose ends were not seen."""
        return sorted(self._open)

    def reserve(self, name: str) -> None:
        """Set an image aside.

        :raises NotObservedError: it could be one too many.
        """
        if self.paid + self.pending >= self.images:
            raise NotObservedError(f"it may cost an image, and the budget of {self.images} is used")
        self._open.add(name)

    def rename(self, name: str, task_id: str) -> None:
        """Tell the id of the task that an image was set aside for."""
        self._open.discard(name)
        self._open.add(task_id)

    def release(self, name: str) -> None:
        """An image that was set aside is not paid for."""
        self._open.discard(name)

    def settle(self, task_id: str, body: dict[str, Any]) -> None:
        """Take note of a task's state."""
        status = body["output"].get("task_status")
        if task_id not in self._open or status not in (
            TaskStatus.SUCCEEDED,
            TaskStatus.FAILED,
            TaskStatus.CANCELED,
        ):
            return
        self._open.discard(task_id)
        if status == TaskStatus.SUCCEEDED:
            count = (body.get("usage") or {}).get("image_count", 1)
            self.paid += count if isinstance(count, int) else 1
