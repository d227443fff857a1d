"""What a fact is, and what can be found out about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx

from airflow_provider_wanx.dashscope import ProviderError, ThrottledError, TransportError
from tests.conformance.redaction import redacted

if TYPE_CHECKING:
    from tests.conformance.service.visit import Visit


class Known(StrEnum):
    """How a fact is known."""

    DOCUMENTED = "documented"
    RECORDED = "recorded"
    OPEN = "open"


DOCUMENTED, RECORDED, OPEN = Known


class Verdict(StrEnum):
    """What became of a fact."""

    HOLDS = "holds"
    DIFFERS = "differs"
    NOT_OBSERVED = "not observed"


class NotObservedError(Exception):
    """What a fact is about did not happen in this run; its text says why."""


@dataclass(frozen=True)
class Observation:
    """What a check saw.

    :param holds: whether it is as expected.
    :param seen: in words; secrets and ids are taken out of it later.
    """

    holds: bool
    seen: str


Check = Callable[["Visit"], Observation]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that the service is said to do.

    :param name: short and stable.
    :param claim: what is expected. Of an open point, it is what the local DashScope does.
    :param known: how well it is known.
    :param source: who says so.
    :param point: the open point or row of ``docs/service.md`` that it is about.
    :param check: looks for it.
    """

    name: str
    claim: str
    known: Known
    source: str
    point: str | None
    check: Check


@dataclass(frozen=True)
class Finding:
    """A fact and what was found out about it."""

    fact: Fact
    verdict: Verdict
    seen: str


@dataclass
class Facts:
    """A part of the list of facts; each check is registered with :meth:`add`."""

    _facts: list[Fact] = field(default_factory=list)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def add(
        self, name: str, claim: str, known: Known, source: str, *, point: str | None = None
    ) -> Callable[[Check], Check]:
        """Put a fact into the list; see :class:`Fact`."""

        def register(check: Check) -> Check:
            fact = Fact(name=name, claim=claim, known=known, source=source, point=point, check=check)
            self._facts.append(fact)
            return check

        return register


def judge(fact: Fact, visit: Visit) -> Finding:
    """Look for a fact. An answer of another shape than the check reads is a difference, and a missing answer none."""
    try:
        found = fact.check(visit)
    except NotObservedError as reason:
        return Finding(fact, Verdict.NOT_OBSERVED, redacted(str(reason)))
    except httpx.TransportError as error:
        return Finding(fact, Verdict.NOT_OBSERVED, redacted(f"no answer: {type(error).__name__} {error}"))
    except (TransportError, ThrottledError) as error:
        return Finding(fact, Verdict.NOT_OBSERVED, redacted(str(error)))
    except ProviderError as error:
        return Finding(fact, Verdict.DIFFERS, redacted(f"{type(error).__name__}: {error}"))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return Finding(
            fact, Verdict.DIFFERS, redacted(f"an answer of another shape: {type(error).__name__} {error}")
        )
    except Exception as error:  # noqa: BLE001 - a run that was paid for ends with a report
        return Finding(
            fact, Verdict.NOT_OBSERVED, redacted(f"the check broke off: {type(error).__name__} {error}")
        )
    return Finding(fact, Verdict.HOLDS if found.holds else Verdict.DIFFERS, redacted(found.seen))
