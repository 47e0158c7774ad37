"""What Parameter Store holds, read as settings: stripped, and of the form that each needs; NAME.yml documents each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ansible_collections.slm.serving.plugins.module_utils.adapters import SERVING_PREFIX, SETTING_PREFIX
from ansible_collections.slm.serving.plugins.module_utils.aws_cli import SECRET_NAME
from ansible_collections.slm.serving.plugins.module_utils.engine_kinds import ACCELERATORS, ENGINES, LLAMACPP
from ansible_collections.slm.serving.plugins.module_utils.engine_profiles import PROFILES


class Kind(NamedTuple):
    """What a setting may be.

    Attributes:
        pattern: of the whole value.
        words: the same for the operator.
    """

    pattern: re.Pattern[str]
    words: str


_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_TEXT = r"[^\x00-\x1f\x7f]+"
BUCKET = Kind(re.compile(_BUCKET), "the name of a bucket")
TAG = Kind(re.compile(r"\w[\w.-]{0,127}", re.ASCII), "the tag of an image")
NUMBER = Kind(re.compile(r"[1-9][0-9]{0,8}"), "a whole number above 0")
MINUTES = Kind(re.compile(r"0|[5-9]|[1-9][0-9]{1,4}"), "0 or a whole number of minutes from 5")
TARGET_GROUP = Kind(
    re.compile(
        r"arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]{1,32}"
    ),
    "the ARN of a target group",
)
ADDRESS = Kind(
    re.compile(
        r"https://(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
    ),
    "an address https://HOST",
)
ACCELERATOR = Kind(re.compile(r"gpu|cpu"), "gpu or cpu")
ENGINE_KIND = Kind(re.compile("|".join(ENGINES)), " or ".join(ENGINES))
EDGE_MODE = Kind(re.compile(r"off|acme|certificate|plain"), "off, acme, certificate or plain")
DOMAIN = Kind(
    re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"),
    "a host name in lower case, such as notes.example.org",
)
EMAIL = Kind(re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"), "an e-mail address")
OPENED = Kind(re.compile(r"(docs|metrics)( *, *(docs|metrics))*"), "docs, metrics or both with a comma between them")
NETWORKS = Kind(
    re.compile(r"[0-9a-f.:]+/[0-9]+( *, *[0-9a-f.:]+/[0-9]+)*"), "networks in CIDR form with commas between them"
)
TRUTH = Kind(re.compile(r"true|false"), "true or false")
SWITCH = Kind(re.compile(r"on|off"), "on or off")
PROFILE = Kind(re.compile(r"fast|quality|cpu"), "fast, quality or cpu")
REGION = Kind(re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]"), "a region, such as us-east-1")
INSTANCE = Kind(re.compile(r"i-[0-9a-f]{8,17}"), "the id of an instance, such as i-0123456789abcdef0")
SECRET = Kind(SECRET_NAME, "the name or the ARN of a secret (letters, digits and /_+=.@- only)")
DOCUMENT = Kind(re.compile(r"[\w.:/-]{3,128}", re.ASCII), "the name or the ARN of a session document")
SOURCE = Kind(
    re.compile(rf"s3://{_BUCKET}(/{_TEXT})?|file:///{_TEXT}|hf://[^\s\x00-\x1f/]+/[^\s\x00-\x1f/]+"),
    "an address s3://bucket/prefix, file:///path or hf://owner/repository@commit",
)
DESTINATION = Kind(re.compile(rf"s3://{_BUCKET}/{_TEXT}"), "an address s3://bucket/prefix")

# Every parameter that anything reads or records, but for those of `FAMILIES`.
KINDS = {
    "autoscaling/most": NUMBER,
    "aws/region": REGION,
    "ec2/instance-id": INSTANCE,
    "edge/domain": DOMAIN,
    "edge/email": EMAIL,
    "edge/mode": EDGE_MODE,
    "edge/open": OPENED,
    "edge/trusted-proxies": NETWORKS,
    "engine/accelerator": ACCELERATOR,
    "engine/kind": ENGINE_KIND,
    "engine/max-model-len": NUMBER,
    "engine/pooled": TRUTH,
    "engine/profile": PROFILE,
    "images/edge-tag": TAG,
    "images/engine-tag": TAG,
    "images/gateway-tag": TAG,
    "images/trainer-tag": TAG,
    "instance/idle-minutes": MINUTES,
    "load-balancer/address": ADDRESS,
    "load-balancer/target-group": TARGET_GROUP,
    "model/adapter": SOURCE,
    "model/adapter-candidate": SOURCE,
    "model/adapter-serving": SOURCE,
    "model/base": SOURCE,
    "model/gguf": SOURCE,
    "monitoring/cloudwatch": SWITCH,
    "s3/models-bucket": BUCKET,
    "s3/transfer-bucket": BUCKET,
    "secrets/edge-certificate": SECRET,
    "secrets/engine-pool": SECRET,
    "secrets/gateway-api-keys": SECRET,
    "secrets/hf-token": SECRET,
    "ssm/session-document": DOCUMENT,
    "training/data": SOURCE,
    "training/destination": DESTINATION,
    "waker/mode": SWITCH,
}
# What begins so is followed by a name of the operator's choice.
FAMILIES = {SETTING_PREFIX: SOURCE, SERVING_PREFIX: SOURCE}


def kind_of(name: str) -> Kind | None:
    """Return what a setting may be; None for one that nothing reads."""
    family = next((prefix for prefix in FAMILIES if name.startswith(prefix) and name != prefix), "")
    return FAMILIES[family] if family else KINDS.get(name)


def stripped_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings without what a shell or an editor left around a value, such as a newline at its end."""
    return {name: str(value).strip() for name, value in settings.items()}


def invalid_setting_problems(settings: Mapping[str, str], path: str) -> list[str]:
    """Return a sentence for each setting whose value cannot be right; one that is empty counts as missing.

    Args:
        settings: by name, stripped.
        path: of the parameters.
    """
    return [
        f"The parameter {path}/{name} is {value!a}, which is not {kind.words}. Correct it in Parameter Store."
        for name, value in sorted(settings.items())
        if value and (kind := kind_of(name)) and not kind.pattern.fullmatch(value)
    ]


def unknown_setting_problems(settings: Mapping[str, str], path: str) -> list[str]:
    """Return a sentence for each parameter that nothing reads, with the name that may be meant.

    Args:
        settings: by name.
        path: of the parameters.
    """
    return [
        f"Nothing reads the parameter {path}/{name}: {_meant(name, f'{path}/')}. Remove it, or correct its name."
        for name in sorted(name for name in settings if kind_of(name) is None)
    ]


def chosen_setting_problems(settings: Mapping[str, Any], variable: str) -> list[str]:
    """Return a sentence for each setting that is to be put and that nothing would read, or not as it is.

    Args:
        settings: by name; an empty one is not put.
        variable: that gives them.
    """
    unknown = sorted(name for name in settings if kind_of(name) is None)
    problems = [f"{variable}: nothing reads {name}: {_meant(name, '')}." for name in unknown]
    for name, value in sorted(stripped_settings(settings).items()):
        kind = kind_of(name)
        if value and kind and not kind.pattern.fullmatch(value):
            problems.append(f"{variable}: {name} is {value!a}, which is not {kind.words}.")
    return problems


def _meant(name: str, before: str) -> str:
    """Return which name may be meant by one that nothing reads, or all that there are.

    Args:
        name: below the path.
        before: what a name is written with.
    """
    # A name of a family differs from the one that may be meant in what comes before the operator's own part.
    own = name.rpartition("/")[2]
    near = difflib.get_close_matches(name, [*KINDS, *(f"{prefix}{own}" for prefix in FAMILIES)], n=1)
    known = ", ".join([*KINDS, *(f"{prefix}NAME" for prefix in FAMILIES)])
    return f"{before}{near[0]} may be meant" if near else f"known are {known}"


def profile_problems(profile: str, accelerator: str, path: str) -> list[str]:
    """Return a sentence where a profile is none of the accelerator's; an empty one means the accelerator's default.

    A value that is no accelerator or no profile at all is left to those who check each by itself.

    Args:
        profile: of the engine.
        accelerator: that the engine computes on.
        path: of the parameters.
    """
    fitting = PROFILES.get(accelerator, ())
    if not fitting or profile in ("", *fitting) or not PROFILE.pattern.fullmatch(profile):
        return []
    return [
        f"The parameter {path}/engine/profile is {profile}, which is no profile of the accelerator {accelerator}"
        f" ({path}/engine/accelerator). Set it to {' or '.join(fitting)}, or delete it for the default, {fitting[0]}."
    ]


def engine_problems(
    kind: str,
    path: str,
    *,
    accelerator: str,
    adapters: Collection[str] = (),
    environment: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return a sentence for each thing that a kind of engine cannot do and that is asked of it.

    A value that is no kind or no accelerator at all is left to those who check each by itself.

    Args:
        kind: of engine.
        path: of the parameters.
        accelerator: that it is to compute on.
        adapters: names of the adapters beside the default task's.
        environment: of the gateway, what the operator sets over the role's own.
    """
    if kind != LLAMACPP:
        return []
    problems = []
    if ACCELERATOR.pattern.fullmatch(accelerator) and accelerator not in ACCELERATORS[kind]:
        problems.append(
            f"The engine llamacpp ({path}/engine/kind) computes on a CPU, and the accelerator is {accelerator}"
            f" ({path}/engine/accelerator). Set that to cpu, or the kind to vllm."
        )
    problems += [
        f"The engine llamacpp ({path}/engine/kind) serves one model, which has the default task's adapter in it, and so"
        f" not the adapter {name} ({path}/{SETTING_PREFIX}{name}). Remove that parameter, or set the kind to vllm."
        for name in sorted(adapters)
    ]
    if str((environment or {}).get("GATEWAY_ENGINE_EXTRAS", "off")).lower() == "on":
        problems.append(
            f"The engine llamacpp ({path}/engine/kind) has none of vLLM's sampling members, and the gateway's"
            " GATEWAY_ENGINE_EXTRAS is on. Leave that out of inference_stack_gateway_environment, or set the kind to"
            " vllm."
        )
    return problems


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "chosen_setting_problems": chosen_setting_problems,
            "engine_problems": engine_problems,
            "invalid_setting_problems": invalid_setting_problems,
            "profile_problems": profile_problems,
            "stripped_settings": stripped_settings,
            "unknown_setting_problems": unknown_setting_problems,
        }
