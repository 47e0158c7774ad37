"""What operators and instance ask AWS's API for, recorded by the region's API server: a line of JSON a question.

A module beside the server, so that a caller who only reads need not load moto.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.local_region import names

HERE = f"{names.ACCOUNT_ID}:{names.AWS_REGION}"


@dataclass(frozen=True, order=True)
class Question:
    """What AWS asks a caller's policies.

    Attributes:
        action: Such as `s3:PutObject`.
        resource: Its ARN; `*` where the action has none.
        context: Condition keys with their values.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, order=True)
class Recorded:
    """A question that a call asked.

    Attributes:
        principal: Who called, such as `operator-deploy`.
        question: What AWS asks its policies.
        result: Status of the answer.
    """

    principal: str
    question: Question
    result: int = 200

    def as_json(self) -> dict[str, object]:
        """Return it as a line has it."""
        service, region = self.question.action.partition(":")[0], (self.question.resource.split(":") + [""] * 3)[3]
        about = {"principal": self.principal, "service": service, "region": region, "action": self.question.action}
        return {
            **about,
            "resource": self.question.resource,
            "context": dict(self.question.context),
            "result": self.result,
        }


def append(file: Path, calls: Iterable[Recorded]) -> None:
    """Add calls to a file; made with the first one."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write("".join(f"{json.dumps(each.as_json())}\n" for each in calls))


def read(file: Path, start: int = 0) -> list[Recorded]:
    """Return what a file holds after its first `start` bytes; nothing when there is no file."""
    if not file.exists():
        return []
    with file.open("rb") as stream:
        stream.seek(start)
        lines = [json.loads(line) for line in stream if line.endswith(b"\n")]
    return [
        Recorded(
            line["principal"],
            Question(line["action"], line["resource"], tuple(sorted(line["context"].items()))),
            line["result"],
        )
        for line in lines
    ]


def size(file: Path) -> int:
    """Return where the next call of a file will begin."""
    return file.stat().st_size if file.exists() else 0


# What differs from run to run, or that no policy distinguishes, with what stands for it.
GENERAL_FORMS = [
    (re.compile(rf"^(arn:aws:s3:::{names.APPLICATION}-(?:transfer|models))(?!-\d)"), rf"\1-{HERE.replace(':', '-')}"),
    (re.compile(r"^(arn:aws:s3:::[^/]*-transfer-[^/]*)/.+"), r"\1/KEY"),
    # The instance writes below adapters/, and who deploys reads evaluations; no other key is told from another.
    (re.compile(r"^(arn:aws:s3:::[^/]*-models-[^/]*)/.+/(evaluation\.json)$"), r"\1/KEY/\2"),
    (re.compile(r"^(arn:aws:s3:::[^/]*-models-[^/]*)/(adapters/)(?!.*evaluation\.json$).+"), r"\1/\2KEY"),
    (re.compile(r"^(arn:aws:s3:::[^/]*-models-[^/]*)/(?!adapters/|KEY/evaluation\.json$).+"), r"\1/KEY"),
    (re.compile(r"\b(ami|eipalloc|eni|i|lt|sg|snap|subnet|vol|vpc)-[0-9a-f]{8,17}$"), r"\1-0123456789abcdef0"),
    (re.compile(r"(:secret:.*)-[A-Za-z0-9]{6}$"), r"\1-a1B2c3"),
    (re.compile(r"(:session/\$\{aws:userid\})-.*"), r"\1-0123456789abcdef0"),
    (re.compile(r"(:log-stream:).+"), r"\1STREAM"),
    (re.compile(r"(:(?:targetgroup|loadbalancer/app)/[^/*]+)/.+"), r"\1/0123456789abcdef"),
    (re.compile(r"(:listener/app/[^/*]+)/.+"), r"\1/0123456789abcdef/0123456789abcdef"),
    (re.compile(r"(:certificate)/.+"), r"\1/12345678-1234-1234-1234-123456789012"),
    (re.compile(r"(:parameter/aws/service)/.+"), r"\1/NAME"),
    (re.compile(rf"(:parameter/{names.APPLICATION}/model/adapters-serving)/.+"), r"\1/ADAPTER"),
    (
        re.compile(
            rf"(:parameter/{names.APPLICATION})/(?!model/adapter-(?:candidate|serving)$|model/adapters-serving/).+"
        ),
        r"\1/NAME",
    ),
    (re.compile(r"(:user)/.+"), r"\1/operator"),
    (re.compile(rf"(:repository/{names.APPLICATION})-(?:gateway|trainer)$"), r"\1-vllm"),
]


def in_general(question: Question) -> Question:
    """Return a question with names in the place of what differs from run to run."""
    resource = question.resource
    for pattern, general in GENERAL_FORMS:
        resource = pattern.sub(general, resource)
    return replace(question, resource=resource)
