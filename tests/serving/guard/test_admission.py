from __future__ import annotations

import pytest

from serving.errors import OverloadedError, status_of
from serving.guard.admission import Admission


def test_as_many_as_allowed_are_under_way() -> None:
    admission = Admission(2)
    admission.enter()
    admission.enter()
    with pytest.raises(OverloadedError) as raised:
        admission.enter()
    assert status_of(raised.value) == 503
    assert (admission.in_flight, admission.n_shed) == (2, 1)
    admission.leave()
    admission.enter()
    assert (admission.in_flight, admission.n_shed) == (2, 1)
