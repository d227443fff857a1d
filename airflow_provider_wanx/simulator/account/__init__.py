"""The account: its keys, its limits, and the ledger of what it did and what that costs."""
