"""What this package measures, sent wherever Airflow sends its own metrics: StatsD or OpenTelemetry."""
