"""What this package measures, sent wherever Airflow sends its own: metrics (StatsD, OpenTelemetry) and traces."""
