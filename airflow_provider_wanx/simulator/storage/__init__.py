"""Files that come in and go out: inputs, uploads and results."""
