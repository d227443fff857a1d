"""Read pictures from wherever they are stored, write results to S3, and keep records where users want them."""
