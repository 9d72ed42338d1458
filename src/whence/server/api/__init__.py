"""What pages show, as plain data: one file a room."""
