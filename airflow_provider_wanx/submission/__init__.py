"""Submit once: what is kept of a submission, and what a later try makes of it."""

from __future__ import annotations
