"""Reading an AWS request and making an AWS answer, for the calls that the region answers beside moto."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from tests.local_region import environment

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

INSTANCE_ACCESS_KEY = "ASIALOCALREGIONROLE0"  # the instance profile's
# By its access key a caller is known, and by that what it may do; any other key is an administrator's.
PRINCIPALS = {
    "": "nobody",
    INSTANCE_ACCESS_KEY: "instance",
    **{key: principal for principal, key in environment.OPERATORS_ACCESS_KEYS.items()},
}
# Services whose errors have the form of the query protocol.
QUERY_SERVICES = {"autoscaling", "elasticloadbalancing", "iam", "sts"}
ADMINISTRATOR = "administrator"
UNRESTRICTED = UNRECORDED = {ADMINISTRATOR, "nobody"}


@dataclass(frozen=True)
class Call:
    """One AWS call.

    Attributes:
        service: As it is signed for, such as `ssm`; empty when it is not signed.
        action: The operation; for S3 and Lambda the HTTP method.
        principal: Who asks: `instance`, an operator by the document that it has, `administrator` or `nobody`.
        body: The request's body; empty for S3.
        path: The address's path, for S3 and Lambda only.
        query: Its query, for S3 and Lambda only.
    """

    service: str
    action: str
    principal: str
    body: bytes
    path: str = ""
    query: str = ""

    def json(self) -> dict[str, Any]:
        """Return the body of a call of the JSON protocol; empty when there is none."""
        loaded = json.loads(self.body or b"{}")
        return loaded if isinstance(loaded, dict) else {}

    def field(self, *names: str) -> str:
        """Return the first of these fields of the query protocol that the call has; empty when it has none."""
        fields = parse_qs(self.body.decode())
        return next((fields[name][0] for name in names if name in fields), "")

    def numbered(self, name: str) -> list[str]:
        """Return a list of the query protocol, such as `InstanceId.1`, `InstanceId.2`, in order."""
        fields = parse_qs(self.body.decode())
        keys = [key for key in fields if key.rsplit(".", 1)[0] == name and key.rsplit(".", 1)[-1].isdigit()]
        return [fields[key][0] for key in sorted(keys, key=lambda key: int(key.rsplit(".", 1)[1]))]

    def members(self, name: str, field: str) -> list[str]:
        """Return a field of each member of a list of structures, such as `Id` of `Targets.member.1.Id`."""
        fields = parse_qs(self.body.decode())
        pattern = re.compile(rf"{name}\.member\.\d+\.{field}")
        return [values[0] for key, values in fields.items() if pattern.fullmatch(key)]


def read_call(environ: WSGIEnvironment) -> Call:
    """Read which AWS call a request is; the request's body stays readable for moto behind.

    Only bodies of the JSON and query protocols, and Lambda's, are read: objects on their way to S3 are left alone.
    """
    scope = _credential(environ).split("/")
    service = scope[3] if len(scope) == 5 else ""  # key/date/region/service/aws4_request
    principal = PRINCIPALS.get(scope[0], ADMINISTRATOR)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    if not target and not form:
        address = (environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""))
        body = _kept_body(environ) if service == "lambda" else b""
        return Call(service, environ["REQUEST_METHOD"], principal, body, *address)
    body = _kept_body(environ)
    action = target.rpartition(".")[2] if target else parse_qs(body.decode()).get("Action", [""])[0]
    return Call(service, action, principal, body)


def _kept_body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _credential(environ: WSGIEnvironment) -> str:
    """Return what a request is signed with: `key/date/region/service/aws4_request`, from its header or its address."""
    signed = str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split(",")[0]
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if "AWSAccessKeyId" in query:  # The older form of a signed address, which only S3 takes.
        return f"{query['AWSAccessKeyId'][0]}///s3/"
    return signed or query.get("X-Amz-Credential", [""])[0]


def json_answer(content: dict[str, Any], status: int = 200) -> Response:
    """Make an answer of the JSON protocol."""
    return Response(json.dumps(content), status, content_type="application/x-amz-json-1.1")


def json_error(code: str, message: str, status: int = 400) -> Response:
    """Make an error of the JSON protocol; botocore names the exception after `code`."""
    return json_answer({"__type": code, "message": message}, status)


def not_implemented(call: Call, why: str) -> Response:
    """Make the error for a call that the region cannot answer, in its service's protocol; no client tries it again."""
    if call.service == "ec2":
        return ec2_error("InvalidAction", why)
    if call.service == "s3":
        return s3_error("NotImplemented", why, 501)
    if call.service in QUERY_SERVICES:
        return query_error("InvalidAction", why, 400)
    return json_error("UnknownOperationException", why)


def refusal(call: Call, message: str) -> Response:
    """Make the error for a call that the caller has no right to, as its service does."""
    if call.service == "ec2":
        return ec2_error("UnauthorizedOperation", message, 403)
    if call.service == "s3":
        return s3_error("AccessDenied", message)
    if call.service in QUERY_SERVICES:
        return query_error("AccessDenied", message, 403)
    # Their errors have the status 400 on AWS; 403 tells the record that it was a refusal.
    return json_error("AccessDeniedException", message, 403)


def query_error(code: str, message: str, status: int) -> Response:
    """Make an error of the query protocol."""
    text = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "</Error></ErrorResponse>"
    )
    return Response(text, status, content_type="text/xml")


def s3_error(code: str, message: str, status: int = 403) -> Response:
    """Make an error of S3's protocol."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return Response(text, status, content_type="application/xml")


def ec2_error(code: str, message: str, status: int = 400) -> Response:
    """Make an error of EC2's protocol."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{uuid4()}</RequestID></Response>"
    )
    return Response(text, status, content_type="text/xml")
