"""Submissions at the account's rate, from however many processes: who may submit when, and where that is agreed upon."""
