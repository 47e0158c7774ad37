"""A taken port is named, with who holds it and what to do."""

import os
import socket
import sys

import pytest

from tests.local_region import ports
from tests.local_region.errors import RegionError


def test_free_port_is_accepted() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    ports.require_free(free, "the test", "--test-port")


def test_a_taken_port_is_named_with_its_holder_and_the_option() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(RegionError) as caught:
            ports.require_free(port, "the test", "--test-port")
    message = str(caught.value)
    assert f"Port {port} on 127.0.0.1, needed for the test, is taken" in message
    assert "--test-port PORT" in message
    if sys.platform == "linux":
        assert f"by process {os.getpid()} (" in message
