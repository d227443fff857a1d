"""What every process of the system tests' Airflow does at its start."""

from __future__ import annotations

from airflow_provider_wanx.dashscope import polling

# An id that the service does not know is believed after two minutes, which unit tests spend in time that is skipped.
polling.UNKNOWN_GRACE_SECONDS = 5.0
