"""Clients of AWS that share the descriptions of its services.

botocore reads a service's description, megabytes of JSON, once for each session that it is asked for, and Ansible runs
each task in a process of its own, with sessions of its own. What the main process has read, all of them have: measured
on a slow core, a client then takes 12 ms where it took 150.
"""

from __future__ import annotations

import os

import boto3
import botocore.session
from botocore.loaders import create_loader

SERVICES = ("ssm", "s3")
# Of each service, and of all together.
OF_A_SERVICE = ("service-2", "endpoint-rule-set-1")
OF_ALL = ("endpoints", "partitions", "sdk-default-configuration", "_retry")

# The operator's configuration could name another place too, but has to be read for that, and may be wrong.
_LOADER = create_loader(os.environ.get("AWS_DATA_PATH"))


def session(profile: str | None = None) -> boto3.session.Session:
    """Return a session of its own whose descriptions are those that were read before.

    Args:
        profile: of the operator's configuration; None means what the environment names.

    Raises:
        ProfileNotFound: there is no such profile.
    """
    core = botocore.session.Session(profile=profile)
    core.register_component("data_loader", _LOADER)
    return boto3.session.Session(botocore_session=core)


def preload() -> None:
    """Read what a connection to an instance needs, so that processes that are forked from here on have it."""
    for name in OF_ALL:
        _LOADER.load_data(name)
    for service in SERVICES:
        for kind in OF_A_SERVICE:
            _LOADER.load_service_model(service, kind)
