"""Apache Airflow provider for DashScope's asynchronous tasks, Tongyi Wanxiang portraits first of all.

Kept empty of imports on purpose: Airflow imports this package while it discovers providers, before its own
configuration is ready.
"""

from __future__ import annotations

__version__ = "0.1.0"
