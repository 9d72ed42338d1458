"""What the fork server of the tests has done before it forks: imports, and reading the year's raw files.

Processes that tests kill are many. Each begins where this ends, with the same code and the same files.
"""

from __future__ import annotations

from unittest import mock

import sklearn.linear_model

import whence.registry.backends.skops
import whence.testing.pipelines
from tests.journey import killing
from whence.journeys.flights import story
from whence.journeys.flights.feeds import load_feeds, load_registers

IMPORTED = (killing, sklearn.linear_model, whence.registry.backends.skops, whence.testing.pipelines)

mock.patch.object(story, "load_feeds", return_value=load_feeds()).start()
mock.patch.object(story, "load_registers", return_value=load_registers()).start()
