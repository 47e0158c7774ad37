"""Runs llama.cpp's own server, which the wheel has as a library and not as a program: serve.py --config FILE.

The file is JSON; every member but `model` and `name` has a default:

    {"model": "/models/model.gguf", "name": "medical-ie", "host": "127.0.0.1", "port": 8000, "requests": 8,
     "context": 2048, "threads": 2, "drain": 30, "chat-template": "/etc/slm-ft-serving/chat_template.jinja",
     "api-key-file": "/run/secrets/engine-key"}

`requests` are answered at once, each with `context` tokens of its own for prompt and answer. Where there is no
`chat-template`, the model's own is taken. At SIGTERM the answers that are being made get `drain` seconds to end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

_DEFAULTS: dict[str, Any] = {"host": "127.0.0.1", "port": 8000, "requests": 8, "context": 2048, "drain": 30}
_FILES = ("chat-template", "api-key-file")
_NUMBERS = ("port", "requests", "context", "threads", "drain")
_TEXTS = ("model", "name", "host")
# Metrics of requests that are not done.
_BUSY = ("llamacpp:requests_processing ", "llamacpp:requests_deferred ")
_PAUSE_SECONDS = 0.1


class SettingsError(ValueError):
    """The file cannot be used; the message says why."""


def read_settings(path: Path) -> dict[str, Any]:
    """Read the file and fill in the defaults.

    Raises:
        SettingsError: a member is missing, unknown or of the wrong kind, or a file that it names is not there.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    if not isinstance(given, dict):
        raise SettingsError(f"{path} holds no JSON object")
    settings: dict[str, Any] = {**_DEFAULTS, **dict.fromkeys(_FILES), "threads": len(os.sched_getaffinity(0)), **given}
    if unknown := sorted(settings.keys() - {*_NUMBERS, *_TEXTS, *_FILES}):
        raise SettingsError(f"{path}: there is no setting {unknown[0]}")
    for name in _TEXTS:
        if not isinstance(settings.get(name), str) or not settings[name]:
            raise SettingsError(f"{path}: {name} must be a text")
    for name in _NUMBERS:
        value = settings[name]
        least = 0 if name == "drain" else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingsError(f"{path}: {name} must be a whole number from {least} on")
    for name in _FILES:
        if settings[name] is not None and not isinstance(settings[name], str):
            raise SettingsError(f"{path}: {name} must be a path")
    if not Path(settings["model"]).is_file():
        raise SettingsError(f"{path}: there is no model at {settings['model']}; `python -m training gguf` makes one")
    return settings


def start(settings: dict[str, Any]) -> Any:
    """Start the server; it listens once the model is loaded, and ends when the returned object goes away."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["name"]}
    params.hostnames = [settings["host"]]
    params.port = settings["port"]
    params.n_parallel = settings["requests"]
    params.n_ctx = settings["requests"] * settings["context"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.endpoint_metrics = True
    # Of the prompts of others nothing is shown, and there is no page.
    params.endpoint_slots = params.endpoint_props = params.ui = False
    # Of prompts that were answered it would keep up to 8 GiB more.
    params.cache_ram_mib = 0
    # What a text may look like is not the engine's to read out of an answer.
    params.enable_reasoning = 0
    if settings["chat-template"] is not None:
        params.chat_template = Path(settings["chat-template"]).read_text(encoding="utf-8")
    if settings["api-key-file"] is not None:
        params.api_keys = [Path(settings["api-key-file"]).read_text(encoding="utf-8").strip()]
    return xllamacpp.Server(params)


def drain(settings: dict[str, Any]) -> None:
    """Wait until no request is at work or waits, as long as the settings allow."""
    request = urllib.request.Request(f"http://127.0.0.1:{settings['port']}/metrics")
    if settings["api-key-file"] is not None:
        key = Path(settings["api-key-file"]).read_text(encoding="utf-8").strip()
        request.add_header("Authorization", f"Bearer {key}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + settings["drain"]
    while (left := deadline - time.monotonic()) > 0:
        try:
            with opener.open(request, timeout=left) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return
        is_busy = any(float(line.split()[1]) for line in lines if line.startswith(_BUSY))
        # An answer that is done may still be on its way to the client.
        time.sleep(_PAUSE_SECONDS)
        if not is_busy:
            return


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code where it could not."""
    parser = argparse.ArgumentParser(description="Serve a GGUF model with llama.cpp.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON file of settings")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        settings = read_settings(parser.parse_args().config)
        server = start(settings)  # noqa: F841 - it ends when nothing holds it
    except (SettingsError, OSError, RuntimeError) as error:
        sys.stderr.write(f"llamacpp: {error}\n")
        return 2
    ended.wait()
    drain(settings)
    # The server's own end would wait for ever for a request that is still at work.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
