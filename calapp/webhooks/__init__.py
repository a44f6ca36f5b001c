"""Who asked to be told."""
