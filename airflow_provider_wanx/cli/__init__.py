"""Commands: ``airflow wanx …`` on Airflow 3.2 and later, ``python -m airflow_provider_wanx …`` everywhere."""
