"""The waker as it is called: over HTTP, its function with boto3 in front of a region's or an account's API."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from tests.fakes.function_url import FunctionUrl
from tests.local_region import environment, names
from tests.support.role_variables import ROLES

KEY, SECRET = "a-key-of-this-test", "slm-ft-serving/waker"
TIMEOUT_SECONDS = 60


@contextmanager
def served(endpoint: str, gateway: str) -> Iterator[str]:
    """Serve the function, with an environment as Lambda gives it one; the account has to hold the secret.

    Args:
        endpoint: URL of the API.
        gateway: Where the function looks whether the gateway serves.

    Yields:
        The function's address.
    """
    given = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": names.AWS_REGION,
        "AWS_ACCESS_KEY_ID": environment.ADMINISTRATOR_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": environment.SECRET_KEY,
        "WAKER_APPLICATION": names.APPLICATION,
        "WAKER_SECRET": SECRET,
        "WAKER_URL": gateway,
        "WAKER_PORT": "8080",
        "WAKER_HOLD": "0",
        "WAKER_USUAL_START": "180",
        "WAKER_STOPPED_BY_HAND": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        with FunctionUrl(_function().handler) as function:
            yield function.url
        del sys.modules["waker"]


def _function() -> ModuleType:
    specification = importlib.util.spec_from_file_location("waker", ROLES / "waker/files/waker.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["waker"] = module  # its dataclasses look it up
    specification.loader.exec_module(module)
    return module


def call(url: str, key: str = KEY) -> tuple[int, dict[str, Any], str | None]:
    """Call the function; return status, body and Retry-After."""
    request = urllib.request.Request(url, method="POST", headers={"Authorization": f"Bearer {key}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, json.load(answer), answer.headers["retry-after"]
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer), answer.headers["retry-after"]
