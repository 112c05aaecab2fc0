from __future__ import annotations

from serving.link.circuit import Circuit


def opened(at_s: float) -> Circuit:
    circuit = Circuit()
    for _ in range(3):
        circuit.note_failure(at_s)
    return circuit


def test_opens_at_the_third_failure_in_a_row() -> None:
    circuit = Circuit()
    states = []
    for _ in range(3):
        circuit.note_failure(10.0)
        states.append((circuit.is_failing, circuit.is_open))
    assert states == [(True, False), (True, False), (True, True)]


def test_success_in_between_starts_the_count_again() -> None:
    circuit = Circuit(max_failures=2)
    circuit.note_failure(0.0)
    circuit.note_success()
    circuit.note_failure(0.0)
    assert not circuit.is_open
    assert circuit.is_failing


def test_probes_go_out_at_growing_distances_up_to_a_second() -> None:
    circuit = opened(100.0)
    now_s, instants = 100.0, []
    for _ in range(6):
        now_s += circuit.seconds_to_probe(now_s)
        instants.append(round(now_s, 3))
        circuit.begin_probe(now_s)
        circuit.note_failure(now_s)
    assert instants == [100.2, 100.6, 101.4, 102.4, 103.4, 104.4]


def test_probe_that_took_long_is_followed_at_once() -> None:
    circuit = opened(100.0)
    circuit.begin_probe(100.2)
    assert circuit.seconds_to_probe(105.0) == 0


def test_next_outage_begins_with_short_distances() -> None:
    circuit = opened(100.0)
    for _ in range(5):
        circuit.begin_probe(101.0)
    circuit.note_success()
    assert not circuit.is_open
    for _ in range(3):
        circuit.note_failure(200.0)
    assert round(circuit.seconds_to_probe(200.0), 3) == 0.2
