"""The documents for operators as provision.yml's role renders them, for the region's account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.local_region import names

ROLE = names.REPOSITORY_ROOT / "roles" / "infrastructure"


# Who has more than the document of their own name.
SEVERAL = {
    "operator-provision": ("operator-provision", "operator-provision-fleet"),
    "operator-waking": ("operator-provision", "operator-waking"),
    "operator-scaling": (
        *("operator-deploy", "operator-provision", "operator-provision-fleet", "operator-monitoring"),
        "operator-scaling",
    ),
}


def documents_of(operator: str) -> tuple[str, ...]:
    """Return the names of the documents that an operator has.

    Args:
        operator: Such as `operator-provision`.
    """
    return SEVERAL.get(operator, (operator,))


def rendered(document: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a document.

    Args:
        document: Its name, such as `operator-deploy`.
        settings: What the account's Parameter Store holds, by name below the path.
    """
    # Ansible takes a second to load, which whoever only starts a region need not spend.
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    variables: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLE / folder / "main.yml"), trusted_as_template=True)
    variables |= {
        "infrastructure_region": names.AWS_REGION,
        "infrastructure_account": names.ACCOUNT_ID,
        "infrastructure_settings": dict(settings or {}),
        # Made with a filter of the collection, which is not looked for here.
        "_infrastructure_secrets": variables["infrastructure_secrets"],
    }
    template = Path(ROLE / "templates" / f"{document}-policy.json.j2").read_text(encoding="utf-8")
    answer = Templar(loader=loader, variables=variables).template(trust_as_template(template))
    loaded: dict[str, Any] = json.loads(answer) if isinstance(answer, str) else answer
    return loaded
