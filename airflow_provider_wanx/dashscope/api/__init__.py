"""What can be asked of the service, and how its answers are read. Nothing here sends anything."""

from __future__ import annotations
