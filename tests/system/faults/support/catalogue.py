"""The list of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.system.faults.support.case import Case

Scenario = Callable[["Case"], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the table.

    :param id: name of the row's connection, folder and objects
    :param title: what goes wrong
    :param injected: how it is made to go wrong
    :param play: does it
    :param images: how many images are wanted
    :param submissions: how many tasks of each wanted image the service must have accepted in the end
    :param allowed: how many of them are allowed
    :param billed: how many images must have been billed in the end
    :param objects: how many objects there must be in the end
    :param failure: what the log of the task that fails in the end must say; None where nothing may fail in the end
    :param service: command line of the row's simulator
    :param connection: extras of the row's connection
    :param proxied: whether a proxy that can be told to fail stands before the simulator
    :param failing_s3: whether one stands before the local S3
    :param stored: whether the connection is kept in Airflow's database, where it can be changed
    :param slow: whether it takes so long that it is played first
    :param outage: the outage that it is about, if it is one that hits all of Airflow: only rows of the same one are played
        meanwhile
    :param airflow: the first Airflow on which it can be played whole
    """

    id: str
    title: str
    injected: str
    play: Scenario
    images: int = 1
    submissions: int = 1
    allowed: int = 1
    billed: int = 1
    objects: int = 1
    failure: str | None = None
    service: Sequence[str] = ("--duration", "2")
    connection: Mapping[str, Any] = field(default_factory=dict)
    proxied: bool = False
    failing_s3: bool = False
    stored: bool = False
    slow: bool = False
    outage: str | None = None
    airflow: str = "3.3"


FAULTS: dict[str, Fault] = {}
"""All faults by id, in the order of the table."""


def add(fault: Fault) -> None:
    """Add a row to the table."""
    if fault.id in FAULTS:
        raise ValueError(f"There is a fault {fault.id} already")
    FAULTS[fault.id] = fault


def fault(title: str, *, injected: str, **options: Any) -> Callable[[Scenario], Scenario]:
    """Make a row of a function, whose name becomes the row's id.

    :param title: what goes wrong
    :param injected: how it is made to go wrong
    :param options: see :class:`Fault`
    """

    def register(play: Scenario) -> Scenario:
        add(Fault(id=play.__name__, title=title, injected=injected, play=play, **options))
        return play

    return register
