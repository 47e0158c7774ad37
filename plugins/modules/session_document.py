"""Create, update or remove a session document of Systems Manager.

An own module: no collection has one for documents, and the AWS CLI knows neither check mode nor differences.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_document
short_description: Create, update or remove a session document of Systems Manager
description:
  - A session document says how a session runs, such as as which user, for how long, and where to it is logged.
  - A new content becomes a new version, and that the default one.
options:
  name:
    description: The document.
    type: str
    required: true
  state:
    description: V(absent) removes it with all its versions.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What it is for.
    type: str
    default: ""
  inputs:
    description: The preferences of the session, by the names that AWS gives them.
    type: dict
    default: {}
  tags:
    description: Tags to add; others stay.
    type: dict
    default: {}
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create a document whose sessions are logged
  slm.serving.session_document:
    region: eu-central-1
    name: slm-ft-serving-session
    inputs:
      cloudWatchLogGroupName: /aws/ssm/slm-ft-serving/sessions
      cloudWatchStreamingEnabled: true
      idleSessionTimeout: "20"
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
differences:
  description: What differed.
  returned: success
  type: list
  elements: str
  sample: [content, tags]
"""

import contextlib
import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

NEWEST = "$LATEST"


class Document:
    """One session document."""

    def __init__(self, client: Any, params: dict[str, Any]) -> None:
        """Read the document.

        Args:
            client: of Systems Manager.
            params: the module's.
        """
        self.client = client
        self.params = params
        self.name = params["name"]
        self.about = self._describe()

    def _describe(self) -> dict[str, Any]:
        """Return what AWS says of the document; empty when there is none."""
        try:
            about: dict[str, Any] = self.client.describe_document(Name=self.name, aws_retry=True)["Document"]
        except is_boto3_error_code("InvalidDocument"):
            return {}
        return about

    def wanted(self) -> dict[str, Any]:
        """Return the content that it is to have."""
        return {
            "schemaVersion": "1.0",
            "description": self.params["description"],
            "sessionType": "Standard_Stream",
            "inputs": self.params["inputs"],
        }

    def current(self) -> dict[str, Any]:
        """Return the content of the version that sessions use; empty when there is no document."""
        return self._content() if self.about else {}

    def _content(self, **version: str) -> dict[str, Any]:
        answer = self.client.get_document(Name=self.name, DocumentFormat="JSON", aws_retry=True, **version)
        content: dict[str, Any] = json.loads(answer["Content"])
        return content

    def _missing_tags(self) -> dict[str, str]:
        there = boto3_tag_list_to_ansible_dict(self.about.get("Tags", []))
        return {key: value for key, value in self.params["tags"].items() if there.get(key) != value}

    def differences(self) -> list[str]:
        """Return what differs; `document` where there is none."""
        if not self.about:
            return ["document"]
        settings = {"content": self.current() != self.wanted(), "tags": bool(self._missing_tags())}
        return [setting for setting, differs in settings.items() if differs]

    def correct(self, differences: list[str]) -> None:
        """Correct what differs."""
        for setting in differences:
            {"document": self._create, "content": self._update, "tags": self._tag}[setting]()

    def _create(self) -> None:
        self.client.create_document(
            Name=self.name,
            Content=json.dumps(self.wanted()),
            DocumentType="Session",
            DocumentFormat="JSON",
            Tags=ansible_dict_to_boto3_tag_list(self.params["tags"]),
            aws_retry=True,
        )

    def _update(self) -> None:
        try:
            answer = self.client.update_document(
                Name=self.name,
                Content=json.dumps(self.wanted()),
                DocumentVersion=NEWEST,
                DocumentFormat="JSON",
                aws_retry=True,
            )
            version = answer["DocumentDescription"]["DocumentVersion"]
        except is_boto3_error_code("DuplicateDocumentContent"):
            # An earlier version says the same: of before the last change, or of a run that ended between the calls.
            version = self._same_version()
        self.client.update_document_default_version(Name=self.name, DocumentVersion=version, aws_retry=True)

    def _same_version(self) -> str:
        """Return the newest version that has the content which is wanted."""
        for number in range(int(self.about["LatestVersion"]), 0, -1):
            try:
                if self._content(DocumentVersion=str(number)) == self.wanted():
                    return str(number)
            except is_boto3_error_code(["InvalidDocument", "InvalidDocumentVersion"]):
                continue  # It was removed.
        return str(self.about["DefaultVersion"])

    def _tag(self) -> None:
        self.client.add_tags_to_resource(
            ResourceType="Document",
            ResourceId=self.name,
            Tags=ansible_dict_to_boto3_tag_list(self._missing_tags()),
            aws_retry=True,
        )

    def remove(self) -> None:
        """Remove the document."""
        self.client.delete_document(Name=self.name, aws_retry=True)


def main() -> None:
    """Create, correct or remove the document."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "description": {"type": "str", "default": ""},
            "inputs": {"type": "dict", "default": {}},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
    before, after = "", ""
    try:
        document = Document(client, module.params)
        if module.params["state"] == "absent":
            differences = ["document"] if document.about else []
            if differences and not module.check_mode:
                document.remove()
        else:
            before, after = (json.dumps(each, indent=2) for each in (document.current(), document.wanted()))
            differences = document.differences()
            if not module.check_mode:
                document.correct(differences)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"Systems Manager did not change the session document {module.params['name']}")
    module.exit_json(
        changed=bool(differences), differences=differences, diff={"before": f"{before}\n", "after": f"{after}\n"}
    )


if __name__ == "__main__":
    main()
