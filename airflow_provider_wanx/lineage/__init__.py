"""OpenLineage: what a task has read and made, with which model and style, and at what cost."""
