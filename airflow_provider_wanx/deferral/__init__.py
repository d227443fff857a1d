"""What operators and sensors do around a deferral: when to stop, how to defer, what to make of the trigger's event."""

from __future__ import annotations
