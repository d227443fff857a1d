"""What the provider adds to Airflow's web interface, from Airflow 3.1 on."""
