"""One file a model format; found by name, never imported by name."""
