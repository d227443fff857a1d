"""``python -m airflow_provider_wanx``: the commands without Airflow's own command line."""

from __future__ import annotations

from airflow_provider_wanx.cli.definition import make_parser

if __name__ == "__main__":
    options = make_parser().parse_args()
    options.func(options)
