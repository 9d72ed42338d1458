import pytest

from whence.testing.trace import Journey, Story, tell


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def journey(story: Story) -> Journey:
    return tell(story)
