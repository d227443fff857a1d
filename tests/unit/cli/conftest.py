from __future__ import annotations

from tests.unit.operators.conftest import bulk, prompt_list, service

__all__ = ["bulk", "prompt_list", "service"]
