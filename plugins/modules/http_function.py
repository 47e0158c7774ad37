"""Make, correct or remove a Lambda function of one file that is called at an address of its own.

An own module: no collection has one for a function's address, the permissions that it takes or reserved executions, and
the ready one for the function wants an archive that somebody has made before.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: http_function
short_description: Make, correct or remove a Lambda function that is called at an address of its own
description:
  - The function is one file of Python. Whoever knows the address may call it, so the function has to ask for a key.
  - A function of the name that has other tags is not touched.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  name:
    description: The function.
    type: str
    required: true
  state:
    description: V(absent) removes it with its address.
    type: str
    choices: [present, absent]
    default: present
  code:
    description: Text of the file. It is named after O(handler).
    type: str
    default: ""
  handler:
    description: Module and function that Lambda calls, such as V(waker.handler).
    type: str
    default: ""
  runtime:
    description: Lambda's name of the Python.
    type: str
    default: python3.13
  role:
    description: ARN of the role that the function has. A role that was made just now is waited for.
    type: str
    default: ""
  timeout:
    description: Seconds after which Lambda ends a call.
    type: int
    default: 30
  memory_size:
    description: MiB.
    type: int
    default: 128
  environment:
    description: Environment of the function. No secrets, as it can be read.
    type: dict
    default: {}
  concurrency:
    description: How many calls are answered at a time; V(0) reserves none, so that the account's limit holds.
    type: int
    default: 0
  description:
    description: What it is for.
    type: str
    default: ""
  tags:
    description: Tags that a function that is there has to have, and a new one gets.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have a function with an address
  slm.serving.http_function:
    region: eu-central-1
    name: slm-ft-serving-waker
    code: "{{ lookup('ansible.builtin.file', 'waker.py') }}"
    handler: waker.handler
    role: arn:aws:iam::123456789012:role/slm-ft-serving-waker
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
differences:
  description: What differed.
  returned: success
  type: list
  elements: str
  sample: [code, configuration, concurrency, permissions, url]
url:
  description: The address, with a slash at its end; empty where there is none.
  returned: success
  type: str
"""

import base64
import contextlib
import hashlib
import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail, reason

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# Lambda asks for both since October 2025: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
PERMISSIONS: dict[str, dict[str, Any]] = {
    "PublicUrl": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    "PublicCall": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
}
# What Lambda says of a role that IAM has not told it of yet.
NEW_ROLE = "cannot be assumed"
ROLE_WAITS, ROLE_WAIT_SECONDS = 20, 3
# So that the same text is the same archive, whenever it is made.
BEGINNING = (1980, 1, 1, 0, 0, 0)
READABLE = 0o644 << 16


def archive(name: str, text: str) -> bytes:
    """Return an archive of one file, always the same for the same text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        entry = zipfile.ZipInfo(name, BEGINNING)
        entry.external_attr = READABLE
        file.writestr(entry, text)
    return packed.getvalue()


class Function:
    """One function."""

    def __init__(self, client: Any, params: dict[str, Any], sleep: Callable[[float], None] = time.sleep) -> None:
        """Read the function.

        Args:
            client: of Lambda.
            params: the module's.
            sleep: waits so many seconds.
        """
        self.client = client
        self.params = params
        self.name = params["name"]
        self._sleep = sleep
        self.about = self._ask("get_function")
        self.url = str(self._ask("get_function_url_config").get("FunctionUrl", "")) if self.about else ""
        self.code = archive(f"{params['handler'].rpartition('.')[0]}.py", params["code"])

    def _ask(self, operation: str) -> dict[str, Any]:
        """Return an answer about the function; empty where there is nothing."""
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(FunctionName=self.name, aws_retry=True)
        except is_boto3_error_code("ResourceNotFoundException"):
            return {}
        return answer

    def is_ours(self) -> bool:
        """Say whether the function that is there has the tags."""
        there: dict[str, str] = self.about.get("Tags", {})
        return bool(self.params["tags"].items() <= there.items())

    def configuration(self) -> dict[str, Any]:
        """Return what the function is to be like."""
        return {
            "Runtime": self.params["runtime"],
            "Role": self.params["role"],
            "Handler": self.params["handler"],
            "Description": self.params["description"],
            "Timeout": self.params["timeout"],
            "MemorySize": self.params["memory_size"],
            "Environment": {"Variables": {name: str(each) for name, each in self.params["environment"].items()}},
        }

    def differences(self) -> list[str]:
        """Return what differs; `function` where there is none."""
        if not self.about:
            return ["function"]
        there, wanted = self.about["Configuration"], self.configuration()
        variables = there.get("Environment", {}).get("Variables", {})
        now = {key: there.get(key) for key in wanted} | {"Environment": {"Variables": variables}}
        digest = base64.b64encode(hashlib.sha256(self.code).digest()).decode()
        differs = {
            "code": there["CodeSha256"] != digest,
            "configuration": now != wanted,
            "concurrency": self._reserved() != self.params["concurrency"],
            "permissions": bool(self._missing_permissions()),
            "url": not self.url,
        }
        return [name for name, differ in differs.items() if differ]

    def _reserved(self) -> int:
        return int(self.about.get("Concurrency", {}).get("ReservedConcurrentExecutions", 0))

    def _missing_permissions(self) -> list[str]:
        policy = str(self._ask("get_policy").get("Policy", ""))
        return [name for name in PERMISSIONS if f'"{name}"' not in policy]

    def correct(self, differences: list[str]) -> None:
        """Correct what differs; of a new function everything, its address last."""
        if differences == ["function"]:
            self._create()
            self.about = self._ask("get_function")
            differences = self.differences()
        for difference in differences:
            getattr(self, f"_correct_{difference}")()

    def _create(self) -> None:
        request = {"FunctionName": self.name, "Code": {"ZipFile": self.code}, "Tags": self.params["tags"]}
        for left in reversed(range(ROLE_WAITS)):
            try:
                self.client.create_function(**request, **self.configuration(), aws_retry=True)
                break
            except is_boto3_error_code("InvalidParameterValueException") as error:
                if NEW_ROLE not in str(error) or not left:
                    raise
                self._sleep(ROLE_WAIT_SECONDS)
        self.client.get_waiter("function_active_v2").wait(FunctionName=self.name)

    def _correct_code(self) -> None:
        self.client.update_function_code(FunctionName=self.name, ZipFile=self.code, aws_retry=True)
        self._settle()

    def _correct_configuration(self) -> None:
        self.client.update_function_configuration(FunctionName=self.name, **self.configuration(), aws_retry=True)
        self._settle()

    def _settle(self) -> None:
        """Wait until Lambda takes the next change."""
        self.client.get_waiter("function_updated_v2").wait(FunctionName=self.name)

    def _correct_concurrency(self) -> None:
        wanted = self.params["concurrency"]
        if wanted:
            self.client.put_function_concurrency(
                FunctionName=self.name, ReservedConcurrentExecutions=wanted, aws_retry=True
            )
        else:
            self.client.delete_function_concurrency(FunctionName=self.name, aws_retry=True)

    def _correct_permissions(self) -> None:
        for name in self._missing_permissions():
            self.client.add_permission(
                FunctionName=self.name, StatementId=name, Principal="*", aws_retry=True, **PERMISSIONS[name]
            )

    def _correct_url(self) -> None:
        made = self.client.create_function_url_config(FunctionName=self.name, AuthType="NONE", aws_retry=True)
        self.url = str(made["FunctionUrl"])

    def remove(self) -> None:
        """Remove the function, its address first."""
        if self.url:
            self.client.delete_function_url_config(FunctionName=self.name, aws_retry=True)
        self.client.delete_function(FunctionName=self.name, aws_retry=True)


def advice(error: Exception, params: dict[str, Any]) -> str:
    """Return what was not done, and what to do about it."""
    sentence = f"Lambda did not change the function {params['name']}"
    if "UnreservedConcurrentExecution" in reason(error):
        few = f"the account's limit of concurrent executions has no room to reserve {params['concurrency']}"
        return f"{sentence}: {few}. Ask AWS for a higher limit, or reserve none (concurrency: 0)"
    return sentence


def main() -> None:
    """Make, correct or remove the function."""
    texts = ("code", "handler", "role", "description")
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **{name: {"type": "str", "default": ""} for name in texts},
            "runtime": {"type": "str", "default": "python3.13"},
            "timeout": {"type": "int", "default": 30},
            "memory_size": {"type": "int", "default": 128},
            "environment": {"type": "dict", "default": {}},
            "concurrency": {"type": "int", "default": 0},
            "tags": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ("code", "handler", "role"))],
        supports_check_mode=True,
    )
    client = module.client("lambda", retry_decorator=AWSRetry.jittered_backoff())
    absent = module.params["state"] == "absent"
    try:
        function = Function(client, module.params)
        foreign = bool(function.about) and not function.is_ours()
        if foreign and not absent:
            module.fail_json(
                msg=f"There is a function {function.name} already, without the tags of this one: remove or rename it."
            )
        if absent:
            differences = ["function"] if function.about and not foreign else []
            if differences and not module.check_mode:
                function.remove()
        else:
            differences = function.differences()
            if not module.check_mode:
                function.correct(differences)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, advice(error, module.params))
    module.exit_json(changed=bool(differences), differences=differences, url="" if absent else function.url)


if __name__ == "__main__":
    main()
