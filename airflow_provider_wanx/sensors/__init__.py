"""The sensor that waits for DashScope tasks."""
