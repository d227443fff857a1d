"""Something that is done once in a visit, for all facts that need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from tests.conformance.service.visit import Visit

T = TypeVar("T")


class Probe(Generic[T]):
    """A property that is worked out once. What was raised is kept, too: no image is paid for a second time.

    :param do: works it out.
    """

    def __init__(self, do: Callable[[Any], T]) -> None:
        self._do = do
        self.__doc__ = do.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, visit: None, owner: type) -> Probe[T]: ...
    @overload
    def __get__(self, visit: Visit, owner: type) -> T: ...
    def __get__(self, visit: Visit | None, owner: type) -> Probe[T] | T:
        """Return what came of it."""
        if visit is None:
            return self
        if self._name not in visit.outcomes:
            try:
                visit.outcomes[self._name] = self._do(visit), None
            except Exception as failure:  # noqa: BLE001 - raised again for everyone who asks
                visit.outcomes[self._name] = None, failure
        outcome: tuple[T, Exception | None] = visit.outcomes[self._name]
        value, error = outcome
        if error is not None:
            raise error
        return value
