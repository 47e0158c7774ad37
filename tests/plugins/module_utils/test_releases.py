"""Which release is good, which one comes back, and what is damaged."""

from __future__ import annotations

import pytest

from tests.support.releases import DAMAGES, A, B, C, ReleasesFixture


def test_a_failed_release_gives_way_to_the_one_that_served_not_to_the_newest(made: ReleasesFixture) -> None:
    for stamp in (A, B):
        made.add(stamp)
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    assert made.releases.rollback_target(C) == A


def test_rolling_back_twice_ends_where_it_began(made: ReleasesFixture) -> None:
    made.add(A, activated="2026-01-03")
    made.add(B, activated="2026-01-02", previous=A)
    made.releases.update(A, previous=B)
    made.serve(A)
    assert made.releases.rollback_target(A) == B
    made.serve(B)
    assert made.releases.rollback_target(B) == A


def test_without_links_and_records_of_what_served_the_one_activated_last_comes_back(made: ReleasesFixture) -> None:
    made.add(A, activated="2026-01-09")
    made.add(B, activated="2026-01-02")
    assert made.releases.rollback_target(None) == A


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_a_damaged_release_does_not_come_back(made: ReleasesFixture, damage: str) -> None:
    made.add(A)
    made.add(B)
    made.add(C, result="failed", previous=B)
    made.serve(C, verified=B)
    DAMAGES[damage](made.releases.path(B))
    assert made.releases.damage(B) == damage
    assert made.releases.rollback_target(C) == A
