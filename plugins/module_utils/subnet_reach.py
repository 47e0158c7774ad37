"""Whether an instance in a subnet reaches AWS: by the internet, or by endpoints in its VPC.

For modules on the controller.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries

# What instance and playbooks call; without a way to the internet each needs an endpoint in the VPC.
SERVICES = (
    *("ssm", "ssmmessages", "ec2messages", "s3", "ecr.api", "ecr.dkr"),
    *("secretsmanager", "sts", "logs"),
)
EVERYWHERE = "0.0.0.0/0"
# Members of a route that name a target other than a gateway.
TARGETS = (
    *("NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "InstanceId", "VpcPeeringConnectionId"),
    *("CarrierGatewayId", "LocalGatewayId", "CoreNetworkArn"),
)


class Reach:
    """The ways out of the subnets of one VPC."""

    def __init__(self, client: Any, region: str, vpc: str) -> None:
        """Read the VPC's route tables.

        Args:
            client: of EC2.
            region: the VPC's.
            vpc: its id.
        """
        self._client, self._region = client, region
        self._of_the_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
        answer = paginated_query_with_retries(client, "describe_route_tables", Filters=self._of_the_vpc)
        self._tables = answer["RouteTables"]

    def problem(self, subnet: dict[str, Any], public_address: str) -> str:
        """Return why an instance in a subnet would not reach AWS, and what to do; empty when it would.

        Args:
            subnet: as EC2 describes it.
            public_address: whether the instance gets a public address: `subnet`, `always` or `never`.
        """
        name, table = subnet["SubnetId"], self._table(subnet["SubnetId"])
        public = public_address == "always" or (public_address == "subnet" and bool(subnet.get("MapPublicIpOnLaunch")))
        route = self._way_out(table)
        if route.get("State") == "blackhole":
            return f"The route to the internet of the subnet {name} leads to something that was deleted: mend it."
        if _is_internet_gateway(route) and public:
            return ""
        if route and not _is_internet_gateway(route):
            return ""
        missing = self._missing_endpoints(table)
        if not missing:
            return ""
        if route:
            return (
                f"The subnet {name} leads to an internet gateway, and an instance in it gets no public address, so that"
                " Systems Manager would never see it. Give it one with -e infrastructure_public_address=always, or take"
                " a subnet with a NAT gateway."
            )
        return (
            f"The subnet {name} has no route to an internet or NAT gateway, and its VPC lacks endpoints (available, and"
            f" with private DNS) for {', '.join(missing)}: make them, or take another subnet. Models from the Hugging"
            " Face Hub need the internet in any case."
        )

    def is_public(self, subnet: dict[str, Any]) -> bool:
        """Return whether what has a public address in a subnet is reached from the internet.

        Args:
            subnet: as EC2 describes it.
        """
        return _is_internet_gateway(self._way_out(self._table(subnet["SubnetId"])))

    def _table(self, subnet: str) -> dict[str, Any]:
        """Return the route table that a subnet uses: its own, else the VPC's main one."""
        by_subnet: dict[str, dict[str, Any]] = {}
        for table in self._tables:
            for association in table.get("Associations", []):
                by_subnet["main" if association.get("Main") else association.get("SubnetId", "")] = table
        return by_subnet.get(subnet) or by_subnet.get("main") or {}

    @staticmethod
    def _way_out(table: dict[str, Any]) -> dict[str, Any]:
        """Return the route to everywhere; empty where there is none."""
        routes = [each for each in table.get("Routes", []) if each.get("DestinationCidrBlock") == EVERYWHERE]
        return next((each for each in routes if each.get("GatewayId") or any(map(each.get, TARGETS))), {})

    def _missing_endpoints(self, table: dict[str, Any]) -> list[str]:
        """Return the services that cannot be reached by an endpoint in the VPC."""
        answer = paginated_query_with_retries(self._client, "describe_vpc_endpoints", Filters=self._of_the_vpc)
        there = {
            each["ServiceName"].partition(f".{self._region}.")[2]
            for each in answer["VpcEndpoints"]
            if str(each.get("State", "")).lower() == "available"
            and (
                each.get("PrivateDnsEnabled")
                if each.get("VpcEndpointType") == "Interface"
                else table.get("RouteTableId") in each.get("RouteTableIds", [])
            )
        }
        return [service for service in SERVICES if service not in there]


def _is_internet_gateway(route: dict[str, Any]) -> bool:
    return str(route.get("GatewayId", "")).startswith("igw-")
