"""One file a scheme; found by URL, never imported by name."""
