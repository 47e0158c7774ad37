"""The connection over amazon.aws's real one: a lost session makes the host unreachable, and its options all work.

The session plugin is the local region's, with a `docker` that runs the session's shell on this machine.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.amazon.aws.plugins.connection.aws_ssm import DOCUMENTATION as UPSTREAM
from ansible_collections.amazon.aws.plugins.plugin_utils import retries
from ansible_collections.slm.serving.plugins.connection import aws_ssm
from ansible_collections.slm.serving.plugins.doc_fragments.aws_ssm import ModuleDocFragment
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, served
from tests.fakes.http_service import HttpFake
from tests.local_region import names
from tests.local_region.environment import exports
from tests.local_region.faults import Faults
from tests.local_region.state import Ports, RegionState
from tests.support.collection import load_collections

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the limit of a line is that of Linux's terminal"),
    # Upstream leaves a session's terminal to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

# What it is called with: `container inspect ...` or `exec ... CONTAINER COMMAND`. Python ignores SIGPIPE, and the shell
# would with it.
DOCKER = f"""#!/bin/sh
case "$1" in
    container) echo true ;;
    exec) exec '{sys.executable}' -c \
        'import pty, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); pty.spawn("sh")' ;;
esac
"""
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, str]]:
    """Serve an account with a transfer bucket and one instance, and lead this process there; return both."""
    folder = tmp_path_factory.mktemp("account")
    state = RegionState("unit", root=folder)
    state.prepare()
    (folder / "docker").write_text(DOCKER, encoding="utf-8")
    (folder / "docker").chmod(0o755)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Application", "Value": names.APPLICATION}]}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:
            for name, value in exports(state, Ports(api=api.port, registry=1, gateway=1), {}).items():
                patch.setenv(name, value)
            patch.setenv("PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
            patch.setenv("AWS_MAX_ATTEMPTS", "1")
            for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "HTTP_PROXY", "http_proxy"):
                patch.delenv(name, raising=False)
            api.client("s3").create_bucket(Bucket=names.TRANSFER_BUCKET)
            run = {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1, "TagSpecifications": tags}
            yield api, api.client("ec2").run_instances(**run)["Instances"][0]["InstanceId"]


@pytest.fixture
def api(account: tuple[Api, str]) -> Iterator[Api]:
    """Return the account's API, without faults."""
    yield account[0]
    Faults(account[0].state.faults).switch_off()


@pytest.fixture
def connect(account: tuple[Api, str]) -> Iterator[Connect]:
    """Return a function that makes a connection to the instance with these variables of the host."""
    load_collections()
    made: list[Any] = []

    def make(**variables: Any) -> Any:
        context = PlayContext()
        context.remote_addr = account[1]
        connection = connection_loader.get("slm.serving.aws_ssm", context)
        usual = {"ansible_aws_ssm_bucket_name": names.TRANSFER_BUCKET, "ansible_aws_ssm_retries": 0}
        connection.set_options(var_options=usual | variables)
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.close()
    made.clear()
    gc.collect()  # while the warnings of what upstream leaves open are ignored


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses between upstream's attempts, which are left out."""
    taken: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", taken.append)
    return taken


def test_options_are_those_of_upstream() -> None:
    theirs = yaml.safe_load(UPSTREAM)["options"]
    ours = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(ours) == sorted(theirs)
    assert ours["profile"]["vars"] == theirs["profile"]["vars"]


def test_commands_and_files_go_both_ways(connect: Connect, tmp_path: Path) -> None:
    connection = connect()
    assert connection.exec_command("(exit 3)")[0] == 3
    code, out, _ = connection.exec_command("echo two")
    assert (code, out.split()) == (0, [b"two"])
    (tmp_path / "here").write_bytes(b"sent\n")
    connection.put_file(str(tmp_path / "here"), str(tmp_path / "there"))
    assert (tmp_path / "there").read_bytes() == b"sent\n"
    connection.fetch_file(str(tmp_path / "there"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"sent\n"
    (tmp_path / "empty").touch()
    connection.put_file(str(tmp_path / "empty"), str(tmp_path / "empty there"))
    assert (tmp_path / "empty there").read_bytes() == b""


@pytest.mark.parametrize(
    ("code", "permanent", "advice"),
    [
        ("TargetNotConnected", False, "playbooks/stop.yml"),
        ("InvalidInstanceId", False, "in the minute after a start"),
        ("ThrottlingException", False, ""),
        ("InternalServerError", False, ""),
        ("NobodyKnowsThisError", False, ""),
        ("AccessDeniedException", True, ""),
        ("ExpiredTokenException", True, "Sign in to AWS again"),
        ("UnrecognizedClientException", True, "Sign in to AWS again"),
        ("InvalidDocument", True, ""),
    ],
)
def test_a_refusal_is_explained_and_may_be_permanent(code: str, permanent: bool, advice: str) -> None:
    lost = aws_ssm._lost(ClientError({"Error": {"Code": code, "Message": "no."}}, "StartSession"), "i-1")
    assert str(lost).startswith(f"AWS refused StartSession: {code}: no")
    assert advice in str(lost)
    assert lost.permanent == permanent


@pytest.mark.parametrize(("code", "pauses_taken"), [("TargetNotConnected", [1, 2]), ("AccessDeniedException", [])])
def test_a_refused_session_makes_the_host_unreachable(
    api: Api, connect: Connect, pauses: list[float], code: str, pauses_taken: list[float]
) -> None:
    """And the variable for the number of attempts counts, which upstream does not see."""
    Faults(api.state.faults).switch_on("session-refusal", code)
    with pytest.raises(AnsibleConnectionFailure, match=f"AWS refused StartSession: {code}"):
        connect(ansible_aws_ssm_retries=2).exec_command("true")
    assert pauses == pauses_taken


def test_an_instance_that_boots_is_waited_for(
    api: Api, connect: Connect, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, False, False])
    monkeypatch.setattr(api.machine, "agent_is_active", lambda _max_age=0.0: next(answers, True))
    assert connect(ansible_aws_ssm_retries=6).exec_command("echo here")[1].split() == [b"here"]
    assert pauses == [1, 2]


def test_a_session_that_breaks_off_is_opened_again(api: Api, connect: Connect) -> None:
    connect().exec_command("true")
    count = int((api.state.sessions / "count").read_text(encoding="ascii"))
    Faults(api.state.faults).switch_on("session-drop", f"{count + 1} 0")
    assert connect(ansible_aws_ssm_retries=1).exec_command("echo here")[1].split() == [b"here"]
    assert int((api.state.sessions / "count").read_text(encoding="ascii")) == count + 2


@pytest.mark.parametrize("size", [0, 3000])
def test_a_session_that_breaks_off_makes_the_host_unreachable(api: Api, connect: Connect, size: int) -> None:
    """Also where part of the answer came: upstream takes that for an answer, with the exit code 32."""
    Faults(api.state.faults).switch_on("session-drop", f"0 {size}")
    with pytest.raises(AnsibleConnectionFailure, match="ended before its command did"):
        connect().exec_command("seq 99999")


def test_a_command_over_its_time_makes_the_host_unreachable_and_is_not_shown(connect: Connect) -> None:
    connection = connect(ansible_aws_ssm_timeout=1)
    with pytest.raises(AnsibleConnectionFailure, match="gave no answer within 1 s") as late:
        connection.exec_command("sleep 30; echo X-Amz-Signature=secret")
    assert "secret" not in str(late.value)


def test_aws_that_is_not_reached_makes_the_host_unreachable(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(retries.time, "sleep", lambda _seconds: None)
    with pytest.raises(AnsibleConnectionFailure, match=r"127\.0\.0\.1:9"):
        connect().exec_command("true")


def test_a_session_that_cannot_be_ended_is_left_behind(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect()
    connection.exec_command("true")
    first = connection.session_manager

    def refuse(**_: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(connection.ssm_client, "terminate_session", refuse)
    connection.close()
    assert connection.exec_command("echo here")[1].split() == [b"here"]
    assert connection.session_manager is not first


class Refusal(HttpFake):
    """S3 that refuses whatever is asked."""

    methods = ("GET", "PUT")

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer as S3 does with credentials that have expired."""
        document = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>ExpiredToken</Code></Error>'
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.send_response(403)
        request.send_header("Content-Length", str(len(document)))
        request.end_headers()
        request.wfile.write(document)


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_transfer_that_s3_refuses_is_no_transfer(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    connection = connect()
    connection.exec_command("true")
    (tmp_path / "file").write_bytes(b"a module\n")
    with Refusal() as s3:
        address = f"http://127.0.0.1:{s3.port}/file?X-Amz-Signature=secret"
        monkeypatch.setattr(connection.s3_manager, "get_url", lambda *_args, **_more: address)
        transfer = connection.put_file if way == "to" else connection.fetch_file
        with pytest.raises(AnsibleConnectionFailure, match=r"403.*credentials .* have expired, or .* a policy") as lost:
            transfer(str(tmp_path / "file"), str(tmp_path / "other"))
    assert f"the bucket {names.TRANSFER_BUCKET}" in str(lost.value)
    assert "secret" not in str(lost.value)
    assert not (tmp_path / "other").exists() or (tmp_path / "other").read_bytes() == b""


def test_a_bucket_that_is_not_there_is_named(connect: Connect, tmp_path: Path) -> None:
    connection = connect()
    connection.exec_command("true")
    connection.set_option("bucket_name", "another")
    connection.file_transfer_manager.bucket_name = "another"
    (tmp_path / "file").touch()
    with pytest.raises(AnsibleConnectionFailure, match="NoSuchBucket"):
        connection.put_file(str(tmp_path / "file"), str(tmp_path / "other"))


def test_a_file_of_the_controller_that_cannot_be_read_is_no_lost_session(connect: Connect, tmp_path: Path) -> None:
    connection = connect()
    with pytest.raises(IsADirectoryError):
        connection.put_file(str(tmp_path), str(tmp_path / "other"))
    with pytest.raises(AnsibleError, match="does not exist") as missing:
        connection.put_file(str(tmp_path / "missing"), str(tmp_path / "other"))
    assert not isinstance(missing.value, AnsibleConnectionFailure)


def test_a_line_is_sent_as_long_as_the_terminal_takes_it(connect: Connect) -> None:
    connection = connect()
    longest = aws_ssm.LONGEST_LINE - len("echo | echo  ;")
    code, out, _ = connection.exec_command(f"echo {'x' * longest}")
    assert (code, len(out.strip())) == (0, longest)
    with pytest.raises(AnsibleError, match=f"has a line of {aws_ssm.LONGEST_LINE + 1} bytes") as refused:
        connection.exec_command(f"echo {'x' * (longest + 1)}")
    assert not isinstance(refused.value, AnsibleConnectionFailure)
    assert connection.exec_command(f"echo {'x' * longest}\necho {'y' * longest}")[0] == 0


def test_an_address_with_a_session_token_that_is_too_long_is_not_sent(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t" * 4000)
    (tmp_path / "file").touch()
    started = time.monotonic()
    with pytest.raises(AnsibleError, match=r"session token of your AWS credentials, .* is too long") as refused:
        connect().put_file(str(tmp_path / "file"), str(tmp_path / "other"))
    assert "tttt" not in str(refused.value)
    assert time.monotonic() - started < 60, "it waited for the command's time limit"
