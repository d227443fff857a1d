"""The Airflow connection, and the hook that makes clients from it."""
