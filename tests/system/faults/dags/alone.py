"""One task submits and waits itself, the next one copies. A DAG for each kind of waiting."""

from __future__ import annotations

from datetime import timedelta

from shapes import alone

alone("alone")
# The command that clears tasks does so in all runs of a DAG.
alone("alone_command")
alone("alone_sync", deferrable=False)
alone("alone_deadline", wait_timeout=8, retries=0)
alone("alone_deadline_sync", deferrable=False, wait_timeout=8, retries=0)
alone("alone_deadline_retry", wait_timeout=8)
alone("alone_execution_timeout", execution_timeout=timedelta(seconds=8), retries=0)
