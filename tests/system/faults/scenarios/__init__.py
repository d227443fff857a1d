"""All faults, in the order of the table."""

from __future__ import annotations

from importlib import import_module

from packaging.version import Version

from tests.stack import Installation
from tests.system.faults.support.catalogue import FAULTS, Fault

for _name in (
    "worker",
    "outages",
    "users",
    "deadlines",
    "service",
    "storage",
    "bulk",
    "loops",
    "policies",
    "clears",
):
    import_module(f"{__name__}.{_name}")

_AIRFLOW = Version(Installation.own().airflow)

ALL: list[Fault] = [fault for fault in FAULTS.values() if Version(fault.airflow) <= _AIRFLOW]
"""Those that can be played on the Airflow beside this program; "make matrix" plays others on others."""
