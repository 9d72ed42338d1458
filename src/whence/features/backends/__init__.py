"""Online stores, one file a scheme."""
