"""One set of cases over several stores: `kind` names the store, `DEVIATIONS` what is known."""

from __future__ import annotations

import pytest

from tests.conformance.stores import DUCKDB, FILE, OURS, Deviations


@pytest.fixture(scope="module", params=[FILE, DUCKDB, OURS])
def kind(request: pytest.FixtureRequest) -> str:
    """The store of a case."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _known_deviations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each known deviation a strict xfail, so that a fix upstream is noticed."""
    known: Deviations = getattr(request.module, "DEVIATIONS", {})
    params = getattr(request.node, "callspec", None)
    if params is not None and "kind" in params.params:
        found = known.get((request.node.originalname, params.params["kind"]))
        if found is not None:
            raises, reason = found
            request.applymarker(pytest.mark.xfail(strict=True, raises=raises, reason=reason))
            _tell_briefly(request.node, raises, monkeypatch)


def _tell_briefly(
    item: pytest.Item, known: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep pytest from writing a traceback of what is known: nobody sees it, and it is slow."""
    tell = item.repr_failure

    def repr_failure(error: pytest.ExceptionInfo[BaseException]) -> object:
        return error.exconly() if isinstance(error.value, known) else tell(error)

    monkeypatch.setattr(item, "repr_failure", repr_failure)
