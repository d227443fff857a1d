"""The wheel on every Airflow and Python that it is for: pins, environments, checks, and the table that comes of them."""
