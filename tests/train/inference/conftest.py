import pytest

from .served import serving


@pytest.fixture
def served():
    with serving() as made:
        yield made
