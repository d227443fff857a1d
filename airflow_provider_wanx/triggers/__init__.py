"""The trigger that waits in the triggerer, and the event that it sends in the end."""
