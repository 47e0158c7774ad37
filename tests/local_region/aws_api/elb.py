"""What AWS gives every load balancer by itself and moto leaves out, on which those rely who read the whole of it."""

from __future__ import annotations

import functools
from typing import Any

from moto.elbv2.models import FakeLoadBalancer

# Of an Application Load Balancer, from
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
DEFAULTS = {
    "access_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
}


def add_default_attributes() -> None:
    """Have every load balancer that moto makes from now on say all its attributes; once for a process."""
    made = FakeLoadBalancer.__init__
    if hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def make(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        self.attrs = DEFAULTS | self.attrs

    setattr(FakeLoadBalancer, "__init__", make)  # noqa: B010 - mypy refuses the other
