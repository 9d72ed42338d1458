"""Whole stories on real data, run by ``whence demo`` and by the tests."""

from whence.journeys.run import DemoReport, run_demo

__all__ = ["DemoReport", "run_demo"]
