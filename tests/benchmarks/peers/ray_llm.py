"""Ray Serve LLM on this machine alone, run by the Python of .ray-venv.

    .ray-venv/bin/python tests/benchmarks/peers/ray_llm.py CONFIGURATION PORT STATE

CONFIGURATION is a file as `serve deploy` takes it, with one application. STATE is a file that always holds the number
of engines that serve, replaced by a rename. Ends everything at SIGTERM.
"""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ray  # type: ignore[import-not-found] # another environment's
import yaml
from ray import serve
from ray.serve.llm import build_openai_app  # type: ignore[import-not-found]

_POLL_SECONDS = 0.2
# Ray counts processors and does not measure them: enough for two engines and for what Serve places beside them.
_LOGICAL_PROCESSORS = 8


def engines_that_serve(application: str) -> int:
    """Return how many replicas that hold an engine are running."""
    overview = serve.status().applications[application].deployments
    return sum(
        count
        for name, deployment in overview.items()
        if name.startswith("LLMServer:")
        for state, count in deployment.replica_states.items()
        if str(getattr(state, "value", state)) == "RUNNING"
    )


def main() -> None:
    """Run from the command line until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("state", type=Path)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    document: dict[str, Any] = yaml.safe_load(args.configuration.read_text(encoding="utf-8"))
    (application,) = document["applications"]
    ray.init(
        num_cpus=_LOGICAL_PROCESSORS,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(args.state.parent / "ray"),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    serve.run(build_openai_app(application["args"]), name=application["name"], route_prefix="/")
    while True:
        new = args.state.with_suffix(".new")
        new.write_text(str(engines_that_serve(application["name"])), encoding="utf-8")
        new.replace(args.state)
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
