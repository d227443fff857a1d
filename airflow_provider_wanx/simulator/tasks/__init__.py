"""The account's tasks: their queues, and the list that shows them."""
