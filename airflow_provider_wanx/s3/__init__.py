"""S3, as everything here reads and writes it: addresses, errors, and small objects that are written on a condition."""
