"""One file a scheme: memory, and SQL through `whence.database`."""
