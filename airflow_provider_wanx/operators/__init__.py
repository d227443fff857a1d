"""Operators that submit tasks to DashScope."""
