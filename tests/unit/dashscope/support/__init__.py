"""What the tests of the service core share."""

from __future__ import annotations
