"""What pooled engines need; NAME.yml documents the filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# What makes the members' certificate; the role engine_pool has the same name.
COMMAND = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN={name}"
    " -addext subjectAltName=DNS:{name} -keyout key.pem -out certificate.pem"
)


def engine_pool_problems(pool: Mapping[str, Any], path: str) -> list[str]:
    """Return a sentence for each thing that pooled engines lack; none where they are not pooled.

    Args:
        pool: `pooled`, `tag` (of the edge's image), `secret`, `name` (that the certificate is of) and `most`, of an
            Auto Scaling group.
        path: of the parameters.
    """
    if not pool["pooled"]:
        return []
    problems = []
    if not pool["tag"]:
        problems.append(
            f"The engines are pooled ({path}/engine/pooled), and the router's image, which is the edge's, has no tag:"
            f" put the parameter {path}/images/edge-tag, or delete {path}/engine/pooled."
        )
    if not pool["secret"]:
        problems.append(
            f"The engines are pooled ({path}/engine/pooled), and no secret holds the members' certificate. Make one"
            f" (`{COMMAND.format(name=pool['name'])}`), put certificate and key into one secret"
            " (`aws secretsmanager create-secret --name slm-ft-serving/engine-pool --secret-string"
            f' "$(cat certificate.pem key.pem)"`), and its name into the parameter {path}/secrets/engine-pool.'
        )
    if pool["most"] > 0:
        problems.append(
            f"The engines are pooled ({path}/engine/pooled), and there is an Auto Scaling group"
            f" ({path}/autoscaling/most), whose instances come and go without Ansible, so that the members would not"
            f" know of them: delete {path}/engine/pooled, or remove the group with provision.yml -e"
            " scaling_group_most=0."
        )
    return problems


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"engine_pool_problems": engine_pool_problems}
