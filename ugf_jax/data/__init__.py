"""Images and text in, batches out."""
