"""What a job does: paint portraits in a style, draw pictures, and write the other result files."""
