"""Every attention block computes what its authors' own module does."""

import pytest

from tests.models.attention.cases import GOLDEN
from tests.models.attention.golden import golden_errors
from tests.models.reference import GOLDEN as FOLDER


@pytest.mark.parametrize("file", GOLDEN)
def test_equals_the_authors_module(file):
    channels = int(file.rpartition("_c")[2])
    errors = golden_errors(file, GOLDEN[file].build(channels))
    assert max(errors.values()) < 1e-9, errors


def test_every_reference_file_is_used():
    assert {path.stem for path in (FOLDER / "attention").glob("*.npz")} == set(GOLDEN)
