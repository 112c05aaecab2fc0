from __future__ import annotations

import pytest

from evenstore.client.exchange import Failure, foreign_answer
from evenstore.client.retries import Attempts, RetryBudget, RetryPolicy
from evenstore.errors import ConfigurationError


def passing(retry_after_s: float = 0.0) -> Failure:
    return Failure(foreign_answer(503), may_pass=True, retry_after_s=retry_after_s)


def pauses(policy: RetryPolicy, *, n: int, retry_after_s: float = 0.0) -> list[float | None]:
    attempts = Attempts(policy, RetryBudget(policy), timeout_s=1000.0)
    return [attempts.pause_after(passing(retry_after_s)) for _ in range(n)]


def test_pauses_are_drawn_below_a_bound_that_doubles_to_its_limit() -> None:
    policy = RetryPolicy(max_attempts=6, first_pause_s=1.0, longest_pause_s=5.0, budget=1e6)
    drawn = [pauses(policy, n=5) for _ in range(300)]
    for i, bound in enumerate([1.0, 2.0, 4.0, 5.0, 5.0]):
        column = [row[i] for row in drawn]
        present = [pause for pause in column if pause is not None]
        assert len(present) == 300
        assert max(present) <= bound
        # Spread over the whole range: 300 draws leave no quarter of it empty.
        assert {int(4 * pause / bound) for pause in present} >= {0, 1, 2, 3}


def test_pause_that_is_asked_for_comes_before_the_own() -> None:
    policy = RetryPolicy(max_attempts=2, first_pause_s=0.5)
    (pause,) = pauses(policy, n=1, retry_after_s=7.0)
    assert pause is not None
    assert 7.0 <= pause <= 7.5


def test_last_attempt_is_followed_by_none() -> None:
    assert pauses(RetryPolicy(max_attempts=1), n=1) == [None]
    assert [pause is None for pause in pauses(RetryPolicy(max_attempts=3), n=3)] == [
        False,
        False,
        True,
    ]


def test_failure_that_will_not_pass_costs_no_budget() -> None:
    policy = RetryPolicy(budget=1.0)
    budget = RetryBudget(policy)
    attempts = Attempts(policy, budget, timeout_s=1000.0)
    assert attempts.pause_after(Failure(foreign_answer(422), may_pass=False)) is None
    assert budget.spend()
    assert not budget.spend()


def test_pause_beyond_the_time_of_the_call_costs_no_budget() -> None:
    policy = RetryPolicy(budget=1.0)
    budget = RetryBudget(policy)
    assert Attempts(policy, budget, timeout_s=1.0).pause_after(passing(2.0)) is None
    assert budget.spend()


def test_budget_is_never_more_than_at_first() -> None:
    budget = RetryBudget(RetryPolicy(budget=2.0, budget_refund=1.0))
    for _ in range(5):
        budget.refund()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"first_pause_s": -1.0},
        {"longest_pause_s": float("nan")},
        {"budget": -1.0},
        {"budget_refund": -0.1},
    ],
)
def test_policy_out_of_range_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**options)  # type: ignore[arg-type]
