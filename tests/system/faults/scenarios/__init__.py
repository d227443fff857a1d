"""All faults, in the order of the table."""

from __future__ import annotations

from importlib import import_module

from tests.system.faults.support.catalogue import FAULTS, Fault

for _name in ("worker", "outages", "users", "deadlines", "service", "storage", "bulk"):
    import_module(f"{__name__}.{_name}")

ALL: list[Fault] = list(FAULTS.values())
