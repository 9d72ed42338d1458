"""The edges of the ML Metadata integration: gRPC, and its own database files."""
