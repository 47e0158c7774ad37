"""A second fake AWS account: the emulator ministack, and moto behind it for the few operations that it lacks.

ministack pins a botocore of its own, so it runs as a process in an environment of its own. Every call goes to it first;
one that it has not is noted and, where `GAPS` names it, passed on. Nothing else is answered by another.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.middleware.http_proxy import ProxyMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from tests.fakes.account import Api, FakeMachine, FakeProxy, forget
from tests.local_region import names
from tests.local_region.aws_api.calls import read_call
from tests.local_region.seed import Account
from tests.local_region.state import RegionState

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUIREMENTS = Path(__file__).parent / "ministack.txt"
START_SECONDS = 120
# What it answers to an operation or a service that it has not.
LACKING = re.compile(rb"InvalidAction|Unknown action|Unsupported service|NotImplemented", re.IGNORECASE)
# What an answer has to hold to be one; without it the operation counts as lacking.
HELD = {"ec2:DescribeInstanceTypes": b"<gpuInfo>"}
# Operations that it has not, with what it answers; moto answers in its place.
GAPS = {
    "ec2:DescribeInstanceTypeOfferings": "InvalidAction: Unknown EC2 action: DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes": "a g6.2xlarge without a GPU",
    "ssm:CreateDocument": "InvalidAction: Unknown action: CreateDocument",
    "ssm:DeleteDocument": "InvalidAction: Unknown action: DeleteDocument",
    "ssm:DescribeDocument": "InvalidAction: Unknown action: DescribeDocument",
    "ssm:GetDocument": "InvalidAction: Unknown action: GetDocument",
    "ssm:ListDocuments": "InvalidAction: Unknown action: ListDocuments",
}

# Services that it has not and that are left unanswered: the playbooks do without, and say so.
UNANSWERED = {
    "pricing:GetProducts": "Unsupported service: pricing",
    "servicequotas:GetServiceQuota": "Unsupported service: servicequotas",
}


class QuietHandler(WSGIRequestHandler):
    """Serves without a line for each request."""

    def log_request(self, *_: object) -> None:
        """Say nothing."""


class Front:
    """The WSGI application that asks ministack first, and notes what it has not."""

    def __init__(self, port: int) -> None:
        """Take ministack's port."""
        self._target: dict[str, object] = {
            "target": f"http://127.0.0.1:{port}",
            "host": None,
            "headers": {},
            "remove_prefix": False,
            "ssl_context": None,
        }
        self._proxy = ProxyMiddleware(Response(status=404), {}, timeout=60)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.lacking: set[str] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a call."""
        return self._answer(environ)(environ, start_response)

    def _answer(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return what answers a call."""
        call = read_call(environ)
        # An object on its way to S3 is not read by that, and has to be there for the second one too.
        body = call.body or environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        operation = f"{call.service}:{call.action}"
        ministack = self._proxy.proxy_to(self._target, environ["PATH_INFO"], "/")
        answer = Response.from_app(ministack, {**environ, "wsgi.input": io.BytesIO(body)}, buffered=True)
        said = answer.get_data()
        refused = answer.status_code >= 400 and LACKING.search(said)
        if not refused and HELD.get(operation, b"") in said:
            return answer
        self.lacking.add(operation)
        if operation not in GAPS:
            return answer
        environ["wsgi.input"] = io.BytesIO(body)  # moto reads it once more
        application: WSGIApplication = self._moto
        return application


@contextmanager
def served(program: Path, port: int, folder: Path) -> Iterator[tuple[Api, Front]]:
    """Serve an empty account.

    Args:
        program: ministack's, of an environment with `REQUIREMENTS`.
        port: A free one, for ministack itself.
        folder: For its state and its log.
    """
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "TMPDIR": str(folder),
        "S3_DATA_DIR": str(folder / "s3"),
        "MINISTACK_ACCOUNT_ID": names.ACCOUNT_ID,
        "MINISTACK_REGION": names.AWS_REGION,
        # No container is wanted: one that it cannot reach it does not start.
        "DOCKER_HOST": "unix:///nowhere",
    }
    log = folder / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_for(port, process, log)
        forget()
        front = Front(port)
        server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=QuietHandler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            state = RegionState("ministack", root=folder)
            state.prepare()
            machine = FakeMachine()
            account = Account(f"http://127.0.0.1:{server.server_port}")
            yield Api(account, machine, state, server.server_port, FakeProxy(machine)), front
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            forget()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"ministack did not start:\n{log.read_text(errors='replace')[-2000:]}")
