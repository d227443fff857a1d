"""Waiting for many tasks with one poller: what to ask next, how often, and what follows from an answer."""

from __future__ import annotations
