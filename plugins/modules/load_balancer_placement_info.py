"""Find the subnets of a load balancer, and check that they and its certificate will do.

An own module: the ready ones answer each of these questions alone, and none says what to do.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: load_balancer_placement_info
short_description: Find the subnets of a load balancer, and check its certificate
description:
  - Changes nothing. Everything that prevents the load balancer is returned in RV(problems).
options:
  subnet_ids:
    description: The subnets; empty means the default subnets of the zones.
    type: list
    elements: str
    default: []
  zones:
    description: Zones that the instances are in, or may be started in.
    type: list
    elements: str
    default: []
  vpc_ids:
    description: VPCs that the instances are in, or will be.
    type: list
    elements: str
    default: []
  scheme:
    description: Whether it has public addresses.
    type: str
    choices: [internet-facing, internal]
    default: internet-facing
  certificate_arn:
    description: The certificate of its HTTPS listener.
    type: str
    default: ""
  domain:
    description: Name by which clients call it; empty means its own.
    type: str
    default: ""
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find where the load balancer can be
  slm.serving.load_balancer_placement_info:
    region: eu-central-1
    zones: [eu-central-1a, eu-central-1b]
    certificate_arn: arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
    domain: notes.example.org
  register: placement
"""

RETURN = r"""
subnets:
  description: The subnets that it may be in, one for each zone; all of one VPC.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      returned: always
      type: str
    zone:
      description: Its zone.
      returned: always
      type: str
problems:
  description: A sentence for each thing that prevents it.
  returned: success
  type: list
  elements: str
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import (
    is_boto3_error_code,
    paginated_query_with_retries,
)
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import reason
from ansible_collections.slm.serving.plugins.module_utils.subnet_reach import Reach

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:(?P<region>[a-z0-9-]+):\d{12}:certificate/[\w-]+")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})+")
ZONES = 2  # AWS takes no load balancer with fewer.


class Placement:
    """A place for a load balancer; what prevents it is collected in `problems`."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Make the clients."""
        retry = AWSRetry.jittered_backoff(retries=5)
        self.params = module.params
        self.region = module.region
        self.ec2, self.acm = (module.client(name, retry_decorator=retry) for name in ("ec2", "acm"))
        self.problems: list[str] = []
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def errors_as_problems(self) -> Iterator[None]:
        """Add an error of AWS to the problems."""
        try:
            yield
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            self.problems.append(f"AWS does not say where the load balancer can be: {reason(error)}")

    def subnets(self) -> list[dict[str, str]]:
        """Return the subnets, one for each zone, and add a problem where they will not do."""
        names: list[str] = self.params["subnet_ids"]
        # Filters: an id that does not exist is then no error.
        chosen = {"Name": "subnet-id", "Values": names} if names else {"Name": "default-for-az", "Values": ["true"]}
        found = paginated_query_with_retries(self.ec2, "describe_subnets", Filters=[chosen])["Subnets"]
        missing = sorted(set(names) - {each["SubnetId"] for each in found})
        if missing:
            self.problems.append(
                f"There is no subnet {', '.join(missing)} in {self.region}. Correct"
                " infrastructure_load_balancer_subnets."
            )
            return []
        vpcs = {each["VpcId"] for each in found} | set(self.params["vpc_ids"])
        if len(vpcs) > 1:
            self.problems.append(
                f"The load balancer and the instances would be in several VPCs, {', '.join(sorted(vpcs))}. Name two or"
                " more subnets of the instances' VPC, each in another zone, with"
                " -e infrastructure_load_balancer_subnets=SUBNET,SUBNET."
            )
            return []
        by_zone = {each["AvailabilityZone"]: each for each in reversed(self._reached(found))}
        self._check_zones(sorted(by_zone))
        return [{"id": by_zone[zone]["SubnetId"], "zone": zone} for zone in sorted(by_zone)]

    def _reached(self, subnets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the subnets that clients reach; one that was named and that they do not is a problem."""
        if self.params["scheme"] == "internal" or not subnets:
            return subnets
        try:
            reach = Reach(self.ec2, self.region, subnets[0]["VpcId"])
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            # Making it does not need the permission to read route tables.
            self.warnings.append(
                f"Whether the internet leads to the load balancer's subnets could not be checked: {reason(error)}"
            )
            return subnets
        public = [each for each in subnets if reach.is_public(each)]
        private = sorted(each["SubnetId"] for each in subnets if each not in public)
        if private and self.params["subnet_ids"]:
            self.problems.append(
                f"No route to an internet gateway has the subnet {', '.join(private)}, so that no client reaches a"
                " load balancer there. Name others with infrastructure_load_balancer_subnets, or, for callers inside"
                " the VPC, give -e infrastructure_load_balancer_scheme=internal."
            )
            return subnets
        return public

    def _check_zones(self, zones: list[str]) -> None:
        """Add a problem where the subnets are in too few zones, or in none of some instance's."""
        name_them = "with -e infrastructure_load_balancer_subnets=SUBNET,SUBNET"
        if len(zones) < ZONES:
            self.problems.append(
                f"A load balancer needs subnets in two zones of one VPC, and there are some in"
                f" {', '.join(zones) or 'none'}. Make another (`aws ec2 create-default-subnet --availability-zone"
                f" ZONE`), or name two or more {name_them}."
            )
        without = sorted(set(self.params["zones"]) - set(zones))
        if len(zones) >= ZONES and without:
            self.problems.append(
                f"Instances are, or may be started, in {', '.join(without)}, where the load balancer would have no"
                f" subnet, and it sends nothing to a zone without one. Name one for each zone {name_them}; or keep the"
                " instances to fewer zones with infrastructure_subnet_id."
            )

    def check_certificate(self) -> None:
        """Add a problem where there is no certificate, or one that the listener or the clients would refuse."""
        arn, domain = self.params["certificate_arn"], self.params["domain"]
        if domain and not DOMAIN.fullmatch(domain):
            self.problems.append(f"infrastructure_domain: {domain!r} is no host name, such as notes.example.org.")
            domain = ""
        match = CERTIFICATE.fullmatch(arn)
        if not match or match["region"] != self.region:
            said = f"infrastructure_certificate_arn is {arn!r}, which is no certificate of ACM in {self.region}."
            none = "The load balancer speaks HTTPS alone, and infrastructure_certificate_arn names no certificate."
            self.problems.append(
                f"{said if arn else none} Ask for one with `aws acm request-certificate --region {self.region}"
                f" --validation-method DNS --domain-name {domain or 'NAME'}`, put the record that `aws acm"
                " describe-certificate --certificate-arn ARN` names into the zone of the domain, and give"
                " -e infrastructure_certificate_arn=ARN -e infrastructure_domain=NAME once its status is ISSUED. One of"
                " your own authority comes in with `aws acm import-certificate`."
            )
            return
        try:
            certificate = self.acm.describe_certificate(CertificateArn=arn, aws_retry=True)["Certificate"]
        except is_boto3_error_code("ResourceNotFoundException"):
            self.problems.append(f"There is no certificate {arn}. Correct infrastructure_certificate_arn.")
            return
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            # The listener does not need the permission to read it.
            self.warnings.append(f"Whether the certificate can be used could not be checked: {reason(error)}")
            return
        self._check_use(certificate, domain)

    def _check_use(self, certificate: dict[str, Any], domain: str) -> None:
        arn, status = certificate["CertificateArn"], certificate.get("Status", "ISSUED")
        if status != "ISSUED":
            self.problems.append(
                f"The certificate {arn} is {status}, and a listener takes one that is ISSUED. For one that waits,"
                f" put the record that `aws acm describe-certificate --certificate-arn {arn}` names into the zone of"
                " the domain, and run again some minutes later."
            )
        names = list(
            dict.fromkeys([certificate.get("DomainName", ""), *certificate.get("SubjectAlternativeNames", [])])
        )
        if domain and not any(_covers(name, domain) for name in names):
            self.problems.append(
                f"The certificate {arn} is for {', '.join(names)}, and clients that call {domain} would refuse it."
                " Correct infrastructure_domain, or give a certificate with that name."
            )


def _covers(name: str, domain: str) -> bool:
    """Return whether a certificate's name is the domain's; an asterisk stands for one label."""
    if name.startswith("*."):
        return domain.partition(".")[2] == name[2:].lower()
    return name.lower() == domain


def main() -> None:
    """Return the subnets and the problems."""
    words: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleAWSModule(
        argument_spec={
            "subnet_ids": words,
            "zones": words,
            "vpc_ids": words,
            "scheme": {
                "type": "str",
                "choices": ["internet-facing", "internal"],
                "default": "internet-facing",
            },
            "certificate_arn": {"type": "str", "default": ""},
            "domain": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    placement = Placement(module)
    subnets: list[dict[str, str]] = []
    with placement.errors_as_problems():
        subnets = placement.subnets()
    placement.check_certificate()
    for warning in placement.warnings:
        module.warn(warning)
    module.exit_json(changed=False, subnets=subnets, problems=placement.problems)


if __name__ == "__main__":
    main()
