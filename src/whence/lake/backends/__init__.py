"""One file per table format; `whence.lake.open_lake` finds them by URL."""
