"""Submit a task once, and copy its results: two of the three verbs. The third, wait, is in `dashscope/waiting/`."""
