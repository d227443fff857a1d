"""What the browser tests need beside a browser."""
