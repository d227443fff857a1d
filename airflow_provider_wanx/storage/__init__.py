"""Pictures in, results out: reading inputs from wherever they are kept, and writing objects to S3."""

from __future__ import annotations
