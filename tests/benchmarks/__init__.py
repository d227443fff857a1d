"""Measurements against the local DashScope: ``python -m tests.benchmarks --help``."""
