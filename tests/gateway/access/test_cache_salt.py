"""The salts that keep one client's prompts out of another's prefix cache."""

from gateway.access.cache_salt import CacheSalts


def test_a_client_keeps_its_salt_and_no_two_share_one() -> None:
    salts = CacheSalts()
    assert salts.of("ward") == salts.of("ward")
    assert salts.of("ward") != salts.of("lab")


def test_a_salt_cannot_be_computed_from_the_clients_name() -> None:
    assert CacheSalts().of("ward") != CacheSalts().of("ward")
    assert len(CacheSalts().of("ward")) == 43  # 256 bits
