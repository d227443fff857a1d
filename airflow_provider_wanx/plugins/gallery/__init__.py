"""The gallery: pages with what runs have made, served by Airflow's API server. It only reads, and shows what a user may see."""
