"""The facts, in the order in which they are looked for: what is free first, what exceeds limits last."""

from __future__ import annotations

from tests.conformance.core import Fact
from tests.conformance.facts import (
    cancellations,
    clients,
    files,
    limits,
    listing,
    pictures,
    refusals,
    rows,
    tasks,
)

FACTS: tuple[Fact, ...] = (
    *refusals.FACTS,
    *files.UPLOADS,
    *tasks.FACTS,
    *cancellations.FACTS,
    *files.RESULTS,
    *listing.FACTS,
    *rows.FACTS,
    *pictures.FACTS,
    *clients.FACTS,
    *limits.FACTS,
)
