"""Repaint thousands of images in one Airflow task: the input, the ledger, the policy, the work."""
