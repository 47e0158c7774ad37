"""What the role `infrastructure` checks before it makes anything; NAME.yml documents each filter."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

# The variable that gives a resource of each kind its name.
NAME_VARIABLES = {
    "role": "infrastructure_role",
    "instance profile": "infrastructure_role",
    "GitHub role": "infrastructure_github_role",
    "deploy role": "infrastructure_github_deploy_role",
    "security group": "infrastructure_security_group",
    "budget": "infrastructure_budget",
    "load balancer": "infrastructure_load_balancer_name",
    "balancer's group": "infrastructure_load_balancer_security_group",
    "target group": "infrastructure_target_group",
    # Somebody else would get the alarms.
    "topic": "infrastructure_alarm_topic",
}
# MiB/s that are no extra cost of a gp3 volume.
INCLUDED_THROUGHPUT = 125


def network_problems(networks: list[str], *, allow_everyone: bool) -> list[str]:
    """Return a sentence for each problem of a list of CIDRs; none when they can be used, or there are none."""
    problems = []
    for text in networks:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            problems.append(f"infrastructure_gateway_cidrs: {text!r} is not a network in CIDR form ({error}).")
            continue
        if "/" not in text:
            problems.append(f"infrastructure_gateway_cidrs: write {network} in place of {text}.")
        elif network.prefixlen == 0 and not allow_everyone:
            problems.append(
                f"infrastructure_gateway_cidrs: {text} is the whole internet. Name the networks that are meant, or"
                " allow it with -e infrastructure_allow_everyone=true."
            )
    return problems


def gateway_rules(networks: list[str], ports: int | list[int]) -> list[dict[str, Any]]:
    """Return the security group's rules that let the networks call the gateway, or the edge before it."""
    rule = {"proto": "tcp", "ports": [ports] if isinstance(ports, int) else ports, "rule_desc": "gateway"}
    return [rule | {"cidr_ipv6" if ":" in network else "cidr_ip": network} for network in networks]


def budget_problems(usd: float, email: str) -> list[str]:
    """Return why a budget of so many USD a month cannot be made; nothing for 0, which means none.

    Args:
        usd: the amount.
        email: who is to get its mail.
    """
    if usd < 0:
        return [f"infrastructure_budget_usd: {usd} is no amount. Give USD a month, or 0 for no budget."]
    if usd and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        return [
            f"infrastructure_budget_email: {email!r} is no address. The budget needs one to send its mail to; give one,"
            " or leave infrastructure_budget_usd at 0."
        ]
    return []


def named_secrets(secrets: list[dict[str, Any]], settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the secrets with the names that the settings give them, else with their own."""
    return [secret | {"name": settings.get(secret["parameter"]) or secret["name"]} for secret in secrets]


def secret_plan(
    secrets: list[dict[str, Any]], existing: Collection[str], environment: Mapping[str, str], typed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what is to be done about each secret, without its value.

    Args:
        secrets: each with `name`, `environment`, `required` and `pattern`.
        existing: names of those that exist.
        environment: values by the variable's name.
        typed: values by the secret's name.

    Returns:
        Each secret with `exists`, `create`, `ask` (its value has to be typed) and `valid` (its value has the form).
    """
    plan = []
    for secret in secrets:
        name, value = secret["name"], environment.get(secret["environment"], "")
        create = name not in existing and bool(secret["required"] or value)
        valid = re.search(secret["pattern"], typed.get(name) or value) is not None
        state = {"exists": name in existing, "create": create, "ask": create and not value, "valid": valid}
        plan.append(secret | state)
    return plan


def foreign_problems(resources: list[dict[str, Any]], transfer_bucket: str) -> list[str]:
    """Return a sentence for each resource that bears a name of ours and that provisioning did not make."""
    problems = []
    for resource in resources:
        kind, name = resource["kind"], resource["name"]
        if resource["ours"]:
            continue
        if kind in NAME_VARIABLES:
            problems.append(
                f"The {kind} {name} exists, and provision.yml did not make it. Remove it, or choose another name with"
                f" -e {NAME_VARIABLES[kind]}=NAME."
            )
        elif resource.get("foreign"):
            variable = "transfer" if name == transfer_bucket else "models"
            problems.append(
                f"The bucket {name} belongs to another account, or these credentials may not read it. Choose another"
                f" name with -e infrastructure_{variable}_bucket=NAME."
            )
    return problems


def instance_problems(
    instances: list[dict[str, Any]],
    instance_id: str,
    application: str,
    role: str,
    *,
    replace_profile: bool,
    wanted: int = 1,
) -> list[str]:
    """Return why the instances cannot be used as those that serve; empty also where there is none yet.

    Args:
        instances: as infrastructure_info returns them.
        instance_id: the one to adopt; empty where none was named.
        application: value of the tag Application.
        role: name of the instance profile.
        replace_profile: whether an adopted instance may lose another profile.
        wanted: how many are to be there.
    """
    ids = [instance["id"] for instance in instances]
    if wanted < 1:
        return ["infrastructure_instances: how many instances there are to be is a whole number from 1."]
    if instance_id and instance_id not in ids:
        return [
            f"There is no instance {instance_id} in this region. Correct infrastructure_instance_id, or leave it out to"
            " have an instance made."
        ]
    theirs = [instance["id"] for instance in instances if not instance["ours"]]
    if len(ids) > 1 and theirs:
        return [
            f"More than one instance is meant: {', '.join(ids)}. provision.yml did not make {', '.join(theirs)}, and"
            f" one that it did not make serves alone. Leave the tag Application={application} on one, and set"
            " infrastructure_instance_id to that one or to none; or on those alone that provision.yml made."
        ]
    if not theirs:
        return []
    (instance,) = instances
    if wanted > 1:
        return [
            f"The instance {ids[0]} was there before, and an adopted instance serves alone. Leave"
            " infrastructure_instances at 1; or leave out infrastructure_instance_id, remove the tag Application from"
            f" {ids[0]}, and have {wanted} made."
        ]
    if not instance_id and "AdoptedBy" not in instance["tags"]:
        return [
            f"The instance {ids[0]} has the tag Application={application}, and provision.yml did not make it. If it is"
            f" the one to serve, adopt it with -e infrastructure_instance_id={ids[0]}; if not, remove the tag."
        ]
    if instance["profile"] not in ("", role) and not replace_profile:
        return [
            f"The instance {ids[0]} has the instance profile {instance['profile']}. If {role} may replace it, allow"
            " that with -e infrastructure_replace_profile=true."
        ]
    return []


def instance_differences(instance: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return a sentence for each difference; none of them is corrected.

    Args:
        instance: as infrastructure_info returns it.
        expected: `type`, `volume_gib`, `throughput`, `iops` and `security_group`.
    """
    differences = []
    if instance["type"] != expected["type"]:
        differences.append(f"It is a {instance['type']}, not a {expected['type']}.")
    if instance["metadata_tokens"] != "required":
        differences.append("Its metadata service answers without a token (IMDSv1): require tokens.")
    hops = instance["metadata_hops"]
    if hops > 1:
        differences.append(
            f"Its metadata service answers over {hops} hops, so a container gets the instance's credentials: run"
            " `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 1 --instance-id"
            f" {instance['id']}`."
        )
    if instance["key_pair"]:
        differences.append(f"It has the key pair {instance['key_pair']}: somebody may be able to log in by SSH.")
    if expected["security_group"] not in instance["security_groups"]:
        groups = ", ".join(instance["security_groups"]) or "none"
        differences.append(
            f"Its security groups are {groups}: make sure that they allow the gateway's port only, from your networks."
        )
    return differences + _volume_differences(instance, expected)


def _volume_differences(instance: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the differences of the volumes; what provisioning enlarges itself is none."""
    differences, volumes = [], instance["volumes"]
    growth = {} if instance["ours"] else volume_growth(instance, expected)
    if growth:
        command = " ".join(f"--{key} {value}" for key, value in growth.items() if key in ("size", "throughput", "iops"))
        differences.append(
            f"Its volume {growth['id']} is smaller or slower than {_words(expected)}, so that images and model may not"
            f" fit or load slowly: run `aws ec2 modify-volume --volume-id {growth['id']} {command}`; an image with"
            " cloud-init grows the file system at the next boot."
        )
    if any(not volume["encrypted"] for volume in volumes):
        differences.append("It has a volume that is not encrypted.")
    types = sorted({volume["volume_type"] for volume in volumes} - {"gp3"})
    if types:
        differences.append(f"It has a volume of the type {', '.join(types)}, not gp3.")
    return differences


def volume_growth(instance: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Return how the root volume has to grow: `id`, `zone`, `volume_type`, `size` and more; empty where it need not.

    Nothing is ever lowered, and of another type than gp3 only the size is changed: the type and the operations that AWS
    is told are the volume's own.

    Args:
        instance: as infrastructure_info returns it.
        expected: `volume_gib`, `throughput` and `iops`.
    """
    volume = next((each for each in instance["volumes"] if each["root"]), None)
    if volume is None:
        return {}
    growth: dict[str, int] = {}
    kind = volume["volume_type"]
    if kind == "gp3":
        # What AWS does not tell is not compared.
        growth = {key: expected[key] for key in ("throughput", "iops") if 0 < (volume[key] or 0) < expected[key]}
    if volume["size"] >= expected["volume_gib"] and not growth:
        return {}
    if kind in ("io1", "io2"):
        growth["iops"] = volume["iops"]
    size = max(volume["size"], expected["volume_gib"])
    return {"id": volume["id"], "zone": volume["zone"], "volume_type": kind, "size": size, **growth}


def disks_to_pay(instances: list[dict[str, Any]], expected: dict[str, Any], missing: int) -> dict[str, int]:
    """Return what the volumes of all instances are billed by, once those are made that are missing.

    Args:
        instances: as infrastructure_info returns them.
        expected: `volume_gib`, `throughput` and `iops`.
        missing: how many instances are to be made.

    Returns:
        `gib` of all together, the greatest `throughput`, and `extra_throughput` above what gp3 includes, summed.
    """
    sizes = [expected["volume_gib"]] * missing
    throughputs = [expected["throughput"]] * missing
    for instance in instances:
        growth = volume_growth(instance, expected) if instance["ours"] else {}
        sizes += [each["size"] for each in instance["volumes"] if each["id"] != growth.get("id")]
        sizes.append(growth.get("size", 0))
        root = next((each["throughput"] for each in instance["volumes"] if each["root"]), 0)
        throughputs.append(growth.get("throughput") or root or 0)
    extra = sum(max(each - INCLUDED_THROUGHPUT, 0) for each in throughputs)
    return {"gib": sum(sizes), "throughput": max(throughputs, default=0), "extra_throughput": extra}


def _words(expected: dict[str, Any]) -> str:
    return f"{expected['volume_gib']} GiB, {expected['throughput']} MiB/s and {expected['iops']} operations a second"


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "budget_problems": budget_problems,
            "disks_to_pay": disks_to_pay,
            "foreign_problems": foreign_problems,
            "gateway_rules": gateway_rules,
            "instance_differences": instance_differences,
            "instance_problems": instance_problems,
            "named_secrets": named_secrets,
            "network_problems": network_problems,
            "secret_plan": secret_plan,
            "volume_growth": volume_growth,
        }
