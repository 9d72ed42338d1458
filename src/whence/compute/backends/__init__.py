"""One file per engine; `whence.compute.open_engine` finds them by URL."""
