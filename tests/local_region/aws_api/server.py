"""AWS's API for a region: moto, and in front of it what moto lacks. Run by the region as a process of its own.

Stands in for AWS in tests and on a developer's machine; binds loopback and Docker's bridge, and checks no signature.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from loguru import logger
from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from tests.local_region import names
from tests.local_region.aws_api.authorization import questions_of
from tests.local_region.aws_api.autoscaling import AutoScaling
from tests.local_region.aws_api.calls import (
    Call,
    json_answer,
    not_implemented,
    read_call,
    refusal,
)
from tests.local_region.aws_api.ec2 import Ec2
from tests.local_region.aws_api.ecr import Ecr
from tests.local_region.aws_api.load_balancers import LoadBalancers
from tests.local_region.aws_api.machine_images import tag_snapshots_too
from tests.local_region.aws_api.machines import Machines
from tests.local_region.aws_api.metadata import Metadata
from tests.local_region.aws_api.pages import page_of
from tests.local_region.aws_api.policy import arn_of, leave_bucket_policies_out, refused
from tests.local_region.aws_api.recording import Recording
from tests.local_region.aws_api.source import source_digest
from tests.local_region.aws_api.ssm import Ssm, add_public_parameter
from tests.local_region.docker import containers
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.docker.instance_container import InstanceMachine
from tests.local_region.docker.load_balancer_container import Proxy
from tests.local_region.faults import Faults
from tests.local_region.recorded_calls import Question
from tests.local_region.state import RegionState

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

WEB_SITE_AGE = 1800  # seconds


class ApiServer:
    """The WSGI application."""

    def __init__(self, region: str, folder: Path, docker: str) -> None:
        """Make the application of one region.

        Args:
            region: The local region's name.
            folder: Its state.
            docker: Path of the docker client.
        """
        self._region = region
        self._faults = Faults(folder / "faults")
        state = RegionState(region, root=folder.parent)
        self._ecr = Ecr(state)
        machine = functools.partial(InstanceMachine, docker, state)
        self._ec2 = Ec2(Machines(machine), self._faults)
        self._ssm = Ssm(self._ec2, folder / "sessions", self._faults)
        engine = DockerEngine(docker, version="", started_by_us=False)
        self._load_balancers = LoadBalancers(self._ec2, Proxy(docker, region))
        self._autoscaling = AutoScaling(self._ec2, self._load_balancers)
        self._metadata = Metadata(
            self._ec2, lambda address: containers.at_address(engine, region, address), self._autoscaling.target_of
        )
        self._recording = Recording(RegionState(region, root=folder.parent).api_calls)
        leave_bucket_policies_out()
        tag_snapshots_too()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._digest = source_digest()
        _add_deep_learning_ami()
        _lead_to_the_internet()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or pass it on to moto."""
        request = Request(environ)
        if request.path == names.API_STATUS_PATH:
            return json_answer({"region": self._region, "pid": os.getpid(), "source": self._digest})(
                environ, start_response
            )
        page = self._page(request)
        if page is not None:
            return page(environ, start_response)
        unsigned = self._metadata.answer(request) or self._ecr.download(request)
        if unsigned is not None:
            return unsigned(environ, start_response)
        call = read_call(environ)
        # Asked before the call is answered: what it removes has its tags still.
        questions = questions_of(call)
        recorded = self._recorded(call, questions, start_response)
        answer = self._refusal(call, questions) or self._own_answer(call, environ)
        if answer is not None:
            logger.info("{} {} {} -> {}", call.principal, call.service, call.action, answer.status_code)
            return answer(environ, recorded)
        return self._pass_on(call, environ, recorded)

    def _page(self, request: Request) -> Response | None:
        """Answer who asks for no call as AWS does: by a redirect to its web site, which a cache answers."""
        if request.path == names.WEB_SITE_PATH:
            return Response("<html>A web site</html>", headers={"Age": str(WEB_SITE_AGE)}, content_type="text/html")
        if request.path != "/" or request.method != "GET" or request.args or "Authorization" in request.headers:
            return None
        return Response(status=302, headers={"Location": names.WEB_SITE_PATH, "x-amzn-RequestId": str(uuid4())})

    def _recorded(self, call: Call, questions: list[Question], start_response: StartResponse) -> StartResponse:
        """Return a start of the answer that records the call, with the answer's status."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            self._recording.add(call, questions, int(status.split()[0]))
            return start_response(status, headers, exc_info)

        return start

    def _refusal(self, call: Call, questions: list[Question]) -> Response | None:
        """Return the refusal for a missing permission: by policy or, of the instance, by the fault `deny`."""
        if call.principal == "instance" and call.action in self._faults.denied:
            action: str | None = f"{call.service}:{call.action}"
        else:
            action = refused(call.principal, questions)
        if action is None:
            return None
        message = f"User: {arn_of(call.principal)} is not authorized to perform: {action}"
        logger.warning("refused: {} {}", call.principal, action)
        return refusal(call, message)

    def _own_answer(self, call: Call, environ: WSGIEnvironment) -> Response | None:
        if call.service == "ssm":
            return self._ssm.answer(call) or page_of(call, environ, self._moto)
        if call.service == "ecr":
            return self._ecr.answer(call, environ["HTTP_HOST"]) or page_of(call, environ, self._moto)
        if call.action in {"StopInstances", "RebootInstances"}:
            self._ssm.note_pings()
        if call.service == "ec2":
            return self._ec2.answer(call, lambda: Response.from_app(self._moto, environ, buffered=True))
        if call.service == "elasticloadbalancing":
            return self._load_balancers.answer(call, lambda: Response.from_app(self._moto, environ, buffered=True))
        if call.service == "autoscaling":
            return self._autoscaling.answer(call, lambda: Response.from_app(self._moto, environ, buffered=True))
        return page_of(call, environ, self._moto)

    def _pass_on(self, call: Call, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Paths stay out of the log: those of presigned URLs carry signatures.
        logger.info("{} {} {} -> moto", call.principal, call.service or "unsigned", call.action)
        try:
            answer: Iterable[bytes] = self._moto(environ, start_response)
        except Exception as error:
            # For what it lacks moto raises anything, and its clients would get a page in place of an error.
            logger.error("moto cannot answer {} {}: {!r}", call.service, call.action, error)
            return not_implemented(call, f"the local region has no {call.action}")(environ, start_response)
        cut = self._faults.s3_cut
        if cut and environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].startswith(f"/{cut[0]}/"):
            return _broken_off(answer, cut[1])
        return answer

    def date(self) -> float:
        """Return the time of answers, in seconds since the epoch; the fault `clock` sets it wrong."""
        return time.time() + self._faults.clock


def _broken_off(answer: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes; an answer that has more ends with its connection."""
    for part in answer:
        yield part[:size]
        if len(part) > size:
            raise ConnectionAbortedError("fault: the object breaks off")
        size -= len(part)


def _add_deep_learning_ami() -> None:
    """Add the Deep Learning AMI and its public parameter, which moto lacks."""
    backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
    image = backend.register_image(
        name="Deep Learning Base AMI with Single CUDA (Ubuntu 24.04) fake", description="fake of the local region"
    )
    # That of this machine, for which the region's images are built.
    image.architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    add_public_parameter(names.DEEP_LEARNING_AMI_PARAMETER, image.id)


def _lead_to_the_internet() -> None:
    """Give the default VPC the internet gateway and the route that AWS's has, and moto's lacks."""
    backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
    vpc: Any = backend.get_default_vpc()
    table = backend.describe_route_tables(filters={"vpc-id": [vpc.id]})[0]
    gateway = backend.create_internet_gateway()
    backend.attach_internet_gateway(gateway.id, vpc.id)
    backend.create_route(table.id, "0.0.0.0/0", None, gateway_id=gateway.id)


class QuietHandler(MotoRequestHandler):
    """A handler that leaves log and clock to the application: werkzeug's log has the whole URL, signature included."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the Date header of an answer; a cache leaves that of what it keeps."""
        server: Any = self.server
        age = WEB_SITE_AGE if self.path == names.WEB_SITE_PATH else 0
        return super().date_time_string(server.app.date() - age if timestamp is None else timestamp)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def _servers(addresses: list[str], port: int, application: ApiServer) -> list[BaseWSGIServer]:
    servers = []
    for address in addresses:
        try:
            servers.append(make_server(address, port, application, threaded=True, request_handler=QuietHandler))
        except (OSError, SystemExit) as error:
            raise SystemExit(f"cannot listen on {address} port {port}: {error}") from error
    return servers


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_region.aws_api.server", description=__doc__)
    parser.add_argument("--region", required=True, help="name of the local region")
    parser.add_argument("--folder", required=True, type=Path, help="the region's state folder")
    parser.add_argument("--port", required=True, type=int, help="port to listen on")
    parser.add_argument("--address", action="append", required=True, help="address to listen on; may be given again")
    parser.add_argument("--docker", required=True, help="path of the docker client")
    options = parser.parse_args(arguments)
    logger.remove()
    logger.add(sys.stderr, format="{time:YYYY-MM-DDTHH:mm:ss.SSS}Z {level} {message}", colorize=False)
    application = ApiServer(options.region, options.folder, options.docker)
    servers = _servers(options.address, options.port, application)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    logger.info("serving {} on {} port {}", options.region, ", ".join(options.address), options.port)
    stopped.wait()
    for server in servers:
        server.shutdown()
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
