"""Let an AWS account trust the tokens of an OpenID Connect provider.

An own module, because no collection wraps CreateOpenIDConnectProvider.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_oidc_provider
short_description: Let an AWS account trust the tokens of an OpenID Connect provider
description:
  - An account has one provider for an address. One that is there is used as it is, whoever made it.
  - An audience that it lacks is added to it; nothing is ever taken from it.
options:
  url:
    description: Address of the provider, with C(https://).
    type: str
    required: true
  audience:
    description: Audience of the tokens.
    type: str
    required: true
  tags:
    description: Tags of a provider that is made.
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
- name: Trust the tokens of GitHub's workflows
  slm.serving.iam_oidc_provider:
    region: eu-central-1
    url: https://token.actions.githubusercontent.com
    audience: sts.amazonaws.com
"""

RETURN = r"""
arn:
  description: ARN of the provider; empty in check mode where there is none.
  returned: success
  type: str
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


def find(client: Any, url: str) -> str:
    """Return the ARN of the provider of an address; empty where there is none."""
    # The ARN ends in the address without its scheme.
    ending = f":oidc-provider/{url.removeprefix('https://')}"
    providers = client.list_open_id_connect_providers(aws_retry=True)["OpenIDConnectProviderList"]
    return next((str(each["Arn"]) for each in providers if each["Arn"].endswith(ending)), "")


def ensure(client: Any, params: dict[str, Any], *, check_mode: bool) -> tuple[str, bool]:
    """Make the provider or add the audience, as far as it is missing; return the ARN and whether anything was."""
    arn = find(client, params["url"])
    audience = params["audience"]
    if not arn:
        if check_mode:
            return "", True
        # Without thumbprints: AWS trusts the provider's certificate by its authority.
        made = client.create_open_id_connect_provider(
            Url=params["url"],
            ClientIDList=[audience],
            Tags=ansible_dict_to_boto3_tag_list(params["tags"]),
            aws_retry=True,
        )
        return str(made["OpenIDConnectProviderArn"]), True
    # One may have been made for no audience at all.
    known = client.get_open_id_connect_provider(OpenIDConnectProviderArn=arn, aws_retry=True).get("ClientIDList", [])
    if audience in known:
        return arn, False
    if not check_mode:
        client.add_client_id_to_open_id_connect_provider(
            OpenIDConnectProviderArn=arn, ClientID=audience, aws_retry=True
        )
    return arn, True


def main() -> None:
    """Trust the provider."""
    module = AnsibleAWSModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "audience": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("iam", retry_decorator=AWSRetry.jittered_backoff())
    try:
        arn, changed = ensure(client, module.params, check_mode=module.check_mode)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"IAM does not trust {module.params['url']}")
    module.exit_json(changed=changed, arn=arn)


if __name__ == "__main__":
    main()
