"""``python -m airflow_provider_wanx.simulator``"""

from __future__ import annotations

import sys

from airflow_provider_wanx.simulator.cli import main

sys.exit(main())
