"""The ledger of a batch: which images are wanted, how far each has come, and how that is kept in the bucket."""
