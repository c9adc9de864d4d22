"""The cracks of a made wall are found, and nothing else is."""

import numpy as np
import pytest

from detect import detect
from wall import wall


@pytest.mark.parametrize("cracks", [0, 1, 3])
def test_every_crack_is_found_and_the_stain_is_not(cracks: int) -> None:
    picture, length = wall(cracks)
    found = detect(picture)
    assert len(found) == cracks
    assert sum(crack.length for crack in found) == pytest.approx(length, rel=0.1)


def test_a_clean_wall_has_none() -> None:
    assert detect(np.full((100, 100), 190, np.uint8)) == []
