"""Command line of the local region: `python -m tests.local_region up|down|status|env`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.local_region import environment, names
from tests.local_region.errors import RegionError
from tests.local_region.region import ENGINES, LocalRegion
from tests.local_region.state import Ports, RegionState

DESCRIPTION = """\
An AWS region on this machine: AWS's API (moto), a registry behind ECR and an EC2 instance (systemd and its own
Docker Engine), or several of them behind a load balancer. The playbooks run against it unchanged:
eval "$(python -m tests.local_region env)", then
ansible-playbook playbooks/deploy.yml.
"""
EPILOGUE = """\
exit codes: 0 done (status: all of it runs); 1 an error, which says what to do (status: something does not run);
2 wrong usage.
Regions of different names run side by side. State and logs are in .local-region/NAME.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.local_region", description=DESCRIPTION, epilog=EPILOGUE, formatter_class=shape
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--name", default=names.DEFAULT_REGION_NAME, help="name of the region (default: %(default)s)")

    up = commands.add_parser(
        "up",
        parents=[parent],
        help="install and start what is missing; quick when all runs",
        description="Installs and starts what is missing: Docker Engine (Debian and Ubuntu, as root), images, API "
        "server, registry, instance, and what an account holds. May be run again at any time, also after the machine "
        "restarted.",
    )
    up.add_argument(
        "--engine",
        choices=list(ENGINES),
        default="vllm",
        help="what is pushed as the engine: vLLM's CPU build, or a fake that needs no model and starts in a moment "
        "(default: %(default)s)",
    )
    for option, purpose, port in (
        ("--api-port", "AWS's API", names.DEFAULT_API_PORT),
        ("--registry-port", "the registry", names.DEFAULT_REGISTRY_PORT),
        ("--gateway-port", "the gateway", names.DEFAULT_GATEWAY_PORT),
        ("--load-balancer-port", "the load balancer", names.DEFAULT_LOAD_BALANCER_PORT),
    ):
        before = f"the one chosen before, else {port} for the default region, a free one for others"
        up.add_argument(option, type=int, metavar="PORT", help=f"port on 127.0.0.1 for {purpose} (default: {before})")

    up.add_argument(
        "--instances",
        type=int,
        default=1,
        metavar="N",
        help="how many instances there are; with several comes a load balancer, a fake of AWS's (default: %(default)s)",
    )
    up.add_argument(
        "--training-data",
        type=Path,
        metavar="FOLDER",
        help="have what playbooks/finetune.yml needs as well: the trainer's image (2 GB, minutes the first time), and "
        "FOLDER's train.jsonl and validation.jsonl in S3",
    )
    up.add_argument(
        "--edge",
        action="store_true",
        help="have what an edge needs as well: its image, and a secret with a certificate for localhost from the "
        "region's own authority; it stays off until edge/mode says otherwise",
    )
    up.add_argument(
        "--empty-account",
        action="store_true",
        help="leave the account empty and make no instance: playbooks/provision.yml does that",
    )

    down = commands.add_parser(
        "down",
        parents=[parent],
        help="remove all that up made",
        description="Removes all that up made: server, containers, volumes, network, state and logs. Stops the Docker "
        "Engine if up started it and nothing else runs on it. Built images stay, so that the next up is quick.",
    )
    down.add_argument("--images", action="store_true", help="remove the built images as well")

    commands.add_parser(
        "status",
        parents=[parent],
        help="show what runs",
        description="Shows what runs. Exit code 0 when all of it does, 1 when not.",
    )
    commands.add_parser(
        "env",
        parents=[parent],
        help="print what to export",
        description='Prints shell commands for eval "$(...)": ansible-playbook and boto3 then work against the region.',
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command == "up" and options.empty_account and options.training_data is not None:
        parser.error("--training-data needs an account that holds something: leave --empty-account out")
    if options.command == "up" and options.empty_account and options.edge:
        parser.error("--edge needs an account that holds something: leave --empty-account out")
    try:
        return _run(options)
    except RegionError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "up":
        region = LocalRegion(
            options.name,
            ports=_ports(options),
            engine=options.engine,
            empty_account=options.empty_account,
            training_data=options.training_data,
            instances=options.instances,
            pushed=("engine", "gateway", *(["edge"] if options.edge else [])),
        )
        region.up()
    elif options.command == "down":
        LocalRegion(options.name).down(remove_images=options.images)
    elif options.command == "env":
        sys.stdout.write(environment.as_shell(LocalRegion(options.name).exports(os.environ)))
    else:
        status = LocalRegion(options.name).status()
        sys.stdout.write("".join(f"{part:16} {word}\n" for part, word in status.items()))
        return 0 if status["region"] == "running" else 1
    return 0


def _ports(options: argparse.Namespace) -> Ports | None:
    """Return the requested ports, those not named being as they would be; None when none is named."""
    requested = (options.api_port, options.registry_port, options.gateway_port, options.load_balancer_port)
    if not any(requested):
        return None
    defaults = RegionState(options.name).choose_ports(load_balancer=options.instances > 1)
    return Ports(
        options.api_port or defaults.api,
        options.registry_port or defaults.registry,
        options.gateway_port or defaults.gateway,
        options.load_balancer_port or defaults.load_balancer,
    )


if __name__ == "__main__":
    sys.exit(main())
