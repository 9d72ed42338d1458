"""Whole stories on real data, run by ``whence demo`` and by the tests."""
