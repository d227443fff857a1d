"""Airflow itself ends the deferral, as it does when no triggerer is there to keep the deadline."""

from __future__ import annotations

from shapes import alone

from airflow_provider_wanx import deferral

# Far before the deadline, instead of ten minutes after it.
deferral.TRIGGER_TIMEOUT_MARGIN_SECONDS = 8.0 - 3600.0

alone("impatient_airflow", wait_timeout=3600, retries=0)
