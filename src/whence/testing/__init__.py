"""Shipped suites, one per port: a backend is done when it passes."""
