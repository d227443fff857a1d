"""Mutation testing of the decisions: ``python -m tests.mutation``, described in ``docs/mutation.md``."""
