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


def test_writes_and_lookups_have_places_of_their_own() -> None:
    admission = Admission(1)
    admission.enter_write()
    admission.enter()
    with pytest.raises(OverloadedError, match="1 writes"):
        admission.enter_write()
    with pytest.raises(OverloadedError, match="1 requests"):
        admission.enter()
    assert (admission.in_flight, admission.n_writes, admission.n_shed) == (2, 1, 2)
    admission.leave_write()
    with pytest.raises(OverloadedError):
        admission.enter()
    admission.enter_write()
