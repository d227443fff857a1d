"""Writes the snapshots of the version that is checked out. ``make snapshots`` runs it; pytest does not collect it by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_wanx import __version__
from tests.upgrade.scenes import SCENES
from tests.upgrade.snapshot import WRITTEN, Snapshot
from tests.upgrade.world import World


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_write(scene: Callable[[World], Snapshot], world: World) -> None:
    """Take one snapshot and keep it."""
    folder = WRITTEN / __version__ / scene.__name__
    assert not folder.exists(), (
        f"{folder} is there. What a version has written is never changed; see CONTRIBUTING.md."
    )
    scene(world).save(folder)
