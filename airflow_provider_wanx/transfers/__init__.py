"""The operator that copies results to S3."""
