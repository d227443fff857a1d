"""How test runs write what they have found into the documentation."""
