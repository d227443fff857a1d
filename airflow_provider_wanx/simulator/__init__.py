"""A local DashScope: the asynchronous-task service over real HTTP, for demos and tests, without key, cost or network.

Start it with ``python -m airflow_provider_wanx.simulator``, or take the pytest fixture ``dashscope_simulator``. It shares no
code with the client in ``airflow_provider_wanx.dashscope``, so that each is an independent check of the other.

Kept empty of imports on purpose: pytest loads the plugin beside this file in every run.
"""

from __future__ import annotations
