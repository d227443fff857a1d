"""What the unit tests of the Airflow faces share."""
