"""One file a kind of metric store; found by what is handed in, never imported by name."""
