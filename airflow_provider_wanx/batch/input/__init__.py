"""What a batch is asked to repaint: a folder, a list or a manifest, read as a stream of rows."""
