"""The moments of which snapshots are taken: what an upgrade may find in Airflow, at the service and in the bucket.

Each function takes one, under the code as it is now. A later version adds moments; what it changes about one here shows in
its own snapshots only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.upgrade.scenes import batches, submissions, waits
from tests.upgrade.snapshot import Snapshot
from tests.upgrade.world import World


def _of(module: ModuleType) -> list[Callable[[World], Snapshot]]:
    own = [each for name, each in vars(module).items() if not name.startswith("_") and callable(each)]
    return [each for each in own if each.__module__ == module.__name__]


SCENES: tuple[Callable[[World], Snapshot], ...] = (*_of(waits), *_of(submissions), *_of(batches))
