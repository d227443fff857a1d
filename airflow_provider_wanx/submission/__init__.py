"""Submit a task once: what is recorded about a submission, and how a later try goes on from it."""
