"""Submit a task once, and copy its results: what a job is made from, what is remembered of it, and where it ends."""
