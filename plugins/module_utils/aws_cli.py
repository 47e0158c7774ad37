"""The aws command on the instance, with the instance profile: time limits, and refusals in words for the operator.

The command and not boto3, which instances have not got.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

# The command's own limits, in seconds; a call that is tried twice stays below the limit of the whole.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 15, 2
# The older command signs addresses in some regions with a method that S3 no longer takes.
SETTINGS = "[default]\ns3 =\n  signature_version = s3v4\n"
DENIED = ("AccessDenied", "UnauthorizedOperation", "(403)", "not authorized to perform")
CLOCK = ("SignatureDoesNotMatch", "InvalidSignature", "RequestExpired", "RequestTimeTooSkewed", "Signature expired")
SILENT = ("Could not connect", "Connect timeout", "Read timeout", "EndpointConnectionError")
# The command reads what such a value names, as root, and sends the content on in its place.
EXPANDED = re.compile(r"(?:.*=)?(?:fileb?|https?)://.*", re.DOTALL | re.IGNORECASE)
# Source: Secrets Manager, CreateSecret; six characters more in an ARN. None begins as an option does.
SECRET_NAME = re.compile(
    r"(?!-)[A-Za-z0-9/_+=.@-]{1,512}|arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,519}"
)
CLOCK_HELP = (
    "the instance's clock is wrong (AWS refuses what is signed at another time than its own): run"
    " `timedatectl set-ntp true` on it, or restart chronyd"
)


class AwsError(Exception):
    """Why a call to AWS failed, in words for the operator.

    Attributes:
        reason: the line of AWS's own error; empty when it did not answer.
        denied: whether a permission is missing.
    """

    def __init__(self, message: str, reason: str = "", *, denied: bool = False) -> None:
        """Store message, AWS's reason, and whether a permission is missing."""
        super().__init__(message)
        self.reason, self.denied = reason, denied


def aws(*arguments: str, region: str, timeout: float = 120) -> str:
    """Return what the aws command prints.

    Args:
        arguments: of the command.
        region: the call's region.
        timeout: seconds for the whole command.

    Raises:
        AwsError: it failed, is not installed, did not end in time, or would not take an argument as it is.
    """
    for argument in arguments:
        if EXPANDED.fullmatch(argument):
            raise AwsError(f"{argument!r} was not given to the aws command, which would read what it names")
    command = ["aws", *arguments, "--region", region]
    command += ["--cli-connect-timeout", str(CONNECT_SECONDS), "--cli-read-timeout", str(READ_SECONDS)]
    with tempfile.NamedTemporaryFile("w", suffix=".aws-config") as settings:
        settings.write(SETTINGS)
        settings.flush()
        environment = {"AWS_MAX_ATTEMPTS": str(ATTEMPTS), "AWS_CONFIG_FILE": settings.name, **os.environ}
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False, env=environment
            )
        except FileNotFoundError:
            raise AwsError("the aws command is not installed on the instance") from None
        except subprocess.TimeoutExpired:
            raise AwsError(f"AWS did not answer `aws {' '.join(arguments[:2])}` within {timeout:.0f} s") from None
    if result.returncode == 0:
        return result.stdout
    raise refusal(result.stderr.strip() or f"exit code {result.returncode}")


def secret_name_problem(name: str) -> str | None:
    """Return why Secrets Manager has no secret of this name, in words that follow it; None where it may have one."""
    if SECRET_NAME.fullmatch(name):
        return None
    return "is no name of a secret: it has letters, digits and /_+=.@- only, or is the secret's ARN"


def refusal(output: str) -> AwsError:
    """Return the error for what the aws command wrote to its standard error."""
    last = reason(output)
    if any(words in output for words in CLOCK):
        return AwsError(CLOCK_HELP, last)
    if any(words in output for words in DENIED):
        return AwsError(f"{role_in(output)} is not allowed to do this: {last}", last, denied=True)
    if "Unable to locate credentials" in output:
        return AwsError("the instance has no instance profile, or its metadata service does not answer", last)
    if any(words in output for words in SILENT):
        return AwsError(
            f"the instance does not reach AWS: {last}. Check its route, its security group, its endpoints", last
        )
    return AwsError(last, last)


def reason(output: str) -> str:
    """Return the line of AWS's error, without what later versions of the command put before and behind it."""
    lines = (output.partition("Additional error details:")[0].strip() or output).splitlines()
    return lines[-1].removeprefix("aws: [ERROR]: ").strip()


def role_in(output: str) -> str:
    """Return the instance's role as a refusal names it."""
    role = re.search(r"assumed-role/([\w+=,.@-]+)", output)
    return f"the instance's role {role[1]}" if role else "the instance's role"
