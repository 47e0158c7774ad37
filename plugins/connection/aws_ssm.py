"""Reach the instance through Systems Manager: amazon.aws's connection, which says here that it was not reached.

Upstream raises what AWS, the pty or its own reading of an empty answer raised. Ansible takes that for a failure of the
task, so that neither `ignore_unreachable` nor what else asks for a lost session applies.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.amazon.aws.plugins.connection.aws_ssm import Connection as AwsSsm
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.plugin_utils.botocore import get_aws_connection_info
from ansible_collections.amazon.aws.plugins.plugin_utils.ssm.sessionmanager import SSMProcessManagerTimeOutFailure
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, reason
from ansible_collections.slm.serving.plugins.plugin_utils import aws_clients
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

DOCUMENTATION = r"""
name: aws_ssm
short_description: Reach an instance through AWS Systems Manager, and say when it is not reached
description:
  - The connection C(amazon.aws.aws_ssm), with all its options and requirements.
  - A session that cannot be opened, or that ends before the command does, makes the host unreachable. With upstream's
    connection it makes the task fail, so that C(ignore_unreachable) does not apply.
  - What AWS refuses for good, with credentials that have expired for example, is not tried again.
  - O(reconnection_retries) has the value of its variable; upstream reads the option before the variables are known.
  - A file that S3 does not give or take ends the task. Upstream's curl writes S3's error into the file, and a module
    then ends in a syntax error of Python.
  - A command with a line that the instance's terminal would cut off is refused, and not sent.
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - slm.serving.aws_ssm
"""

EXAMPLES = r"""
- name: Wait until the instance answers
  hosts: all
  gather_facts: false
  vars:
    ansible_connection: slm.serving.aws_ssm
    ansible_aws_ssm_region: eu-central-1
    ansible_aws_ssm_bucket_name: some-transfer-bucket
  tasks:
    - name: Wait for a session
      ansible.builtin.wait_for_connection:
"""

# What upstream raises where a session cannot be opened or is gone: a refusal of AWS, no way to AWS, a pty that is
# closed, and the last line of an answer that has none.
LOST = (AnsibleAWSError, BotoCoreError, ClientError, OSError, IndexError)
# What the same call gets again, until somebody changes credentials, policies or settings.
PERMANENT_CODES = {
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "OptInRequired"),
    *("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
    *("InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "MissingAuthenticationToken"),
    *("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "RequestTimeTooSkewed"),
    *("InvalidDocument", "NoSuchBucket", "404"),
}
PERMANENT_ERRORS = (
    *(CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, ProfileNotFound, SSOError),
    TokenRetrievalError,
)
SIGN_IN = "Sign in to AWS again, then run the same command again."
NOT_CONNECTED = (
    "The SSM agent of the instance is not connected, as in the minute after a start: run again then. If it stays so,"
    " look at the instance's role and network, or have playbooks/stop.yml and playbooks/start.yml start it anew."
)
ADVICE = {
    "ExpiredToken": SIGN_IN,
    "ExpiredTokenException": SIGN_IN,
    "InvalidClientTokenId": SIGN_IN,
    "InvalidInstanceId": NOT_CONNECTED,
    "TargetNotConnected": NOT_CONNECTED,
    "UnrecognizedClientException": SIGN_IN,
}
# A terminal takes a line of 4,095 bytes and its end. It drops the rest without a word, and whoever waits for the answer
# waits until the command's time is over.
LONGEST_LINE = 4095
PRESIGNED = "X-Amz-Signature="
CURL_ERROR = re.compile(r"curl: \(\d+\)[^\r\n\\]*")


class SessionLost(AnsibleConnectionFailure):  # type: ignore[misc] # ansible ships no types
    """The instance was not reached, or the session ended before its command did.

    Attributes:
        permanent: Whether the next attempt would end alike.
    """

    def __init__(self, message: str, permanent: bool = False) -> None:
        """Take the message, a sentence for the operator."""
        super().__init__(message)
        self.permanent = permanent


class Connection(AwsSsm):  # type: ignore[misc] # amazon.aws ships no types
    """amazon.aws's connection, whose losses are connection failures."""

    transport = "slm.serving.aws_ssm"
    session_manager: Any  # upstream's property

    @property
    def reconnection_retries(self) -> int:
        """How many times a session is opened again; upstream's own copy is older than the host's variables."""
        return int(self.get_option("reconnection_retries"))

    @reconnection_retries.setter
    def reconnection_retries(self, value: Any) -> None:
        """Leave upstream's copy."""

    def client(self, service: str, **parameters: Any) -> Any:
        """Return a client of AWS with this connection's options; upstream's reads the service's description anew."""
        region, endpoint, options = get_aws_connection_info(self)
        options = {"region": region, "endpoint": endpoint, **options, **parameters}
        # boto3's stubs know each service by its literal name.
        make: Any = aws_clients.session(options.pop("profile_name", None)).client
        config = options.pop("aws_config", None)
        return make(
            service,
            region_name=options.pop("region"),
            endpoint_url=options.pop("endpoint"),
            config=Config(**config) if isinstance(config, dict) else config,
            **options,
        )

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command in the session, which is opened where there is none."""
        self._refuse_long_lines(cmd)
        if not self._connected:
            self._open()
        with self._losses():
            result: tuple[int, bytes, bytes] = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        # Upstream takes the end of the session's process for the end of the command.
        if self.session_manager.session.poll() is not None:
            raise SessionLost("The session ended before its command did.")
        return result

    def put_file(self, in_path: str, out_path: str) -> Any:
        """Bring a file to the instance."""
        with self._losses(), self._transfer("fetch a file from"):
            return super().put_file(in_path, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        """Bring a file from the instance."""
        with self._losses(), self._transfer("put a file into"):
            return super().fetch_file(in_path, out_path)

    def generate_commands(self, in_path: str, out_path: str, ssm_action: str) -> tuple[str, str, dict[str, Any]]:
        """Return upstream's command for a transfer, made to fail where S3 refuses."""
        path, command, arguments = super().generate_commands(in_path, out_path, ssm_action)
        if not self.is_windows:
            command = command.replace("curl ", "curl --fail --silent --show-error ", 1)
            command = command.replace("';touch '", "' && touch '", 1)
        return path, command, arguments

    def reset(self) -> None:
        """Open another session."""
        with self._losses():
            super().reset()

    def close(self) -> None:
        """End the session; one that cannot be ended is left to AWS's time limit, and the next task does not get it."""
        try:
            super().close()
        except LOST as error:
            self.verbosity_display(2, f"the session was not ended: {reason(error)}")
            self.session_manager = None
            self._connected = False

    def _connect(self) -> Any:
        with self._losses():
            return super()._connect()

    def _open(self) -> None:
        """Open a session, and raise what upstream would try again in vain; the rest it meets and tries again."""
        try:
            self._connect()
        except SessionLost as error:
            self.close()
            if error.permanent or not self.reconnection_retries:
                raise

    def _refuse_long_lines(self, command: str) -> None:
        """Raise where the terminal would cut the command off."""
        # As upstream sends it.
        size = max(len(line.encode()) for line in f"echo | {command} ;".split("\n"))
        if self.is_windows or size <= LONGEST_LINE:
            return
        what = f"has a line of {size} bytes, and the instance's terminal takes {LONGEST_LINE}"
        if PRESIGNED in command:
            raise AnsibleError(
                f"The command that transfers a file {what}: the session token of your AWS credentials, which is part of"
                " the file's address, is too long. Use credentials with a shorter one: a role with fewer session tags"
                " and session policies, or a user's access key."
            )
        raise AnsibleError(f"The command {what}. Send it as a script, with ansible.builtin.script for example.")

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        """Raise what says that the session is not there as SessionLost."""
        try:
            yield
        # Not as causes, which Ansible shows with the error: upstream's message on a command that takes too long has the
        # whole command, that of a transfer with its signed address.
        except SSMProcessManagerTimeOutFailure:
            seconds = self.get_option("ssm_timeout")
            raise SessionLost(f"{self.instance_id} gave no answer within {seconds} s.") from None
        except LOST as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # A file of the controller's; a pty that is gone has no name.
            raise _lost(error, self.instance_id) from None

    @contextlib.contextmanager
    def _transfer(self, what: str) -> Iterator[None]:
        """Raise what curl says on the instance as SessionLost: the task's module was not run."""
        try:
            yield
        except AnsibleError as error:
            said = CURL_ERROR.search(str(error))
            if said is None:
                raise
            raise SessionLost(
                f"{self.instance_id} could not {what} the bucket {self.get_option('bucket_name')} ({said[0]}). 403"
                " means that the AWS credentials that Ansible runs with have expired, or that a policy of the bucket or"
                " of the VPC's endpoint for S3 refuses the instance; without a status it does not reach S3."
            ) from None


def _lost(error: Exception, instance: str) -> SessionLost:
    """Return what is to be raised for an error of upstream's."""
    if isinstance(error, (IndexError, OSError)):
        return SessionLost(f"The session with {instance} ended before its command did.")
    cause = getattr(error, "exception", None) or error  # amazon.aws wraps some of botocore's
    code = code_of(cause)
    asked = f"AWS refused {cause.operation_name}: " if isinstance(cause, ClientError) else ""
    advice = f". {ADVICE[code]}" if code in ADVICE else ""
    permanent = code in PERMANENT_CODES or isinstance(cause, PERMANENT_ERRORS)
    return SessionLost(f"{asked}{reason(cause).removesuffix('.')}{advice}", permanent)
