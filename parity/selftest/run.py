"""Plants each fault, compares, puts everything back; and compares stores without any fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from evenstore.progress import Progress, open_progress
from parity.causes.finding import Cause
from parity.report import Difference
from parity.selftest.comparison import compare_products, compare_service, compare_stats
from parity.selftest.plant import Plant
from parity.selftest.plants import keys, order, presence, schema, ttl, values
from parity.selftest.result import CleanResult, PlantResult, SelftestResult
from parity.selftest.world import World, open_world

__all__ = ["PLANTS", "run_selftest", "see"]

PLANTS: tuple[Plant, ...] = (
    *ttl.PLANTS,
    *order.PLANTS,
    *presence.PLANTS,
    *values.PLANTS,
    *keys.PLANTS,
    *schema.PLANTS,
)
"""All faults that are planted."""

_CLEAN_LOOKS = (compare_stats, compare_products, compare_service)

See = Callable[[Plant, World], Sequence[Difference]]


def see(plant: Plant, world: World) -> Sequence[Difference]:
    """Compare as the plant asks for."""
    return plant.look(world)


def run_selftest(
    *, n_clean_runs: int, seed: int = 0, plants: Sequence[Plant] = PLANTS, see: See = see
) -> SelftestResult:
    """Run the self-test in a repo and a Redis of its own, which are gone afterwards.

    Args:
        n_clean_runs: Runs on stores without a fault, each on rows of its own.
        seed: Another seed makes other rows.
        plants: The faults.
        see: The comparison that is tested.

    Raises:
        ConfigurationError: There is no Redis server to start.
        EvenstoreError: A comparison failed.
    """
    total = len(plants) + n_clean_runs
    with (
        open_world(seed) as world,
        open_progress("selftest", total=total, unit="comparisons") as progress,
    ):
        planted = [_run_plant(plant, world, see, progress) for plant in plants]
        clean = [_run_clean(world, seed + n, progress) for n in range(n_clean_runs)]
    return SelftestResult(tuple(planted), tuple(clean))


def _run_plant(plant: Plant, world: World, see: See, progress: Progress) -> PlantResult:
    with world.restored():
        damaged = plant.damage(world)
        differences = see(plant, world)
    found = [difference for difference in differences if _entity(difference) in damaged]
    progress.advance()
    return PlantResult(
        name=plant.name,
        classes=plant.classes,
        expected=plant.cause,
        n_planted=len(damaged),
        n_found=len({_entity(difference) for difference in found}),
        n_false_alarms=len(differences) - len(found),
        causes=Counter(
            Cause.UNKNOWN if difference.finding is None else difference.finding.cause
            for difference in found
        ),
    )


def _run_clean(world: World, seed: int, progress: Progress) -> CleanResult:
    world.load(seed)
    differences = [found for look in _CLEAN_LOOKS for found in look(world)]
    progress.advance()
    return CleanResult(seed, tuple(differences))


def _entity(difference: Difference) -> object:
    """Return the entity: the first column of its key, beside which others are of the request."""
    return next(iter(difference.entity_key.values()))
