"""Read pictures from wherever they are stored, and write results to S3."""
