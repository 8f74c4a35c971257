import math

import pytest

from insignia.errors import InputError
from insignia.records import checked_share


def test_what_is_no_share_is_refused_with_the_share_that_it_may_be_meant_for():
    assert [checked_share(value, "x") for value in (0, 0.5, 1)] == [0, 0.5, 1]
    with pytest.raises(InputError, match=r"min_fsr is 95; .* 95 % is 0\.95"):
        checked_share(95, "min_fsr")
    for value in (-0.1, 1.01, 101, math.nan, math.inf):
        with pytest.raises(InputError, match="from 0 to 1"):
            checked_share(value, "x")
