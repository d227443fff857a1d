"""Services for which the facts do not hold."""
