"""Ray Serve with two replicas that pass chat completions on, run by the Python of the environment of ray.txt.

    python tests/benchmarks/peers/ray_proxy.py PORT ENGINE ENGINE

It stands for Ray Serve LLM, whose replicas hold the engine itself: vLLM is no package of this environment, so what is
compared is Ray's own part, from its HTTP proxy to a replica's code. The head `X-Replica` is the process that answered.
"""

import argparse
import itertools
import os
import signal
import sys

import aiohttp
import ray  # type: ignore[import-not-found] # another environment's
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Proxy:
    """One replica."""

    def __init__(self, urls: list[str]) -> None:
        """Begin; the session needs the event loop, so it is opened at the first request."""
        self._urls = itertools.cycle(urls)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: Request) -> Response:
        """Pass a request on, to one engine after the other."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        head = {"X-Replica": str(os.getpid())}
        if request.method == "GET":
            return Response(b"{}", media_type="application/json", headers=head)
        body = await request.body()
        json = {"Content-Type": "application/json"}
        async with self._session.post(next(self._urls) + request.url.path, data=body, headers=json) as answer:
            return Response(await answer.read(), answer.status, head, "application/json")


def main() -> None:
    """Run from the command line until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("engines", nargs="+")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    # The decorator has made a deployment of the class.
    serve.run(Proxy.bind(args.engines), route_prefix="/")  # type: ignore[attr-defined]
    signal.pause()


if __name__ == "__main__":
    main()
