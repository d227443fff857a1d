"""The documentation's own Sphinx extensions, imported as Sphinx does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = str(Path(__file__).resolve().parents[3] / "docs" / "_ext")


def extension(name: str) -> ModuleType:
    """Import one of them."""
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(FOLDER)
