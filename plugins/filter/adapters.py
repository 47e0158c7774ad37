"""The adapters beside the default task's, as settings, models, golden notes and records; NAME.yml documents each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.slm.serving.plugins.filter.models import evaluation_object
from ansible_collections.slm.serving.plugins.module_utils.adapters import (
    NAME,
    SERVING_PREFIX,
    SETTING_PREFIX,
    adapter_of,
    is_adapter,
    model_of,
)
from ansible_collections.slm.serving.plugins.module_utils.engine_kinds import LLAMACPP, VLLM
from ansible_collections.slm.serving.plugins.module_utils.lora import engine_rank


def further_adapters(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the further adapters that the settings name: the source of each by its name, empty ones left out."""
    named = {name.removeprefix(SETTING_PREFIX): source for name, source in settings.items() if _is_further(name)}
    return {name: named[name] for name in sorted(named) if named[name]}


def _is_further(setting: str) -> bool:
    return setting.startswith(SETTING_PREFIX) and setting != SETTING_PREFIX


def adapter_models(adapters: Any) -> dict[str, str]:
    """Return the further adapters as the models that the instance keeps; none where they are of a wrong form.

    Args:
        adapters: sources by name; `adapter_problems` reports another form.
    """
    return {model_of(name): source for name, source in sorted(adapters.items())} if isinstance(adapters, dict) else {}


def release_adapters(models: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a release's models those that are further adapters, by the names that the engine serves them under."""
    return {adapter_of(model): models[model] for model in sorted(models) if adapter_of(model)}


def adapter_problems(
    adapters: Any, tasks: Sequence[Mapping[str, Any]], path: str, *, default: Mapping[str, str], base_name: str
) -> list[str]:
    """Return a sentence for each further adapter that could not be served, before anything is touched.

    Args:
        adapters: sources by name.
        tasks: the content of the task files.
        path: of the parameters.
        default: `name` and `source` of the default task's adapter.
        base_name: that the engine serves the base under.
    """
    if not isinstance(adapters, dict):
        return [
            "model_store_adapters is no dict of sources by name. Give it as JSON:"
            """ -e '{"model_store_adapters": {"NAME": "s3://bucket/prefix"}}'."""
        ]
    names = {task.get("adapter") for task in tasks} - {default["name"], base_name}
    taken = {default["name"]: f"the adapter of {path}/model/adapter", base_name: "the base"}
    folders = {_folder(default["source"]): f"{path}/model/adapter"}
    problems = []
    for name, source in sorted(adapters.items()):
        parameter = f"{path}/{SETTING_PREFIX}{name}"
        if name in taken:
            problems.append(f"{parameter} has the name that {taken[name]} is served under. Remove one of the two.")
        elif not NAME.fullmatch(str(name)):
            problems.append(
                f"{parameter}: an adapter's name has letters, digits, - and _ only, 64 at most. Give the task's adapter"
                " another name."
            )
        elif name not in names:
            known = ", ".join(sorted(str(each) for each in names)) or "none"
            problems.append(
                f"{parameter} names an adapter that no task uses. Further adapters of the tasks in gateway/tasks:"
                f" {known}. Correct the parameter's name, or add a task (docs/add-a-task.md)."
            )
        # Of what form it has to be, is checked of all settings alike.
        if not isinstance(source, str):
            problems.append(f"{parameter} is {source!a}, which is no address of a model. Correct it.")
        elif folder := _folder(source):
            other = folders.setdefault(folder, parameter)
            if other != parameter:
                problems.append(
                    f"{parameter} and {other} would share {folder}, by which a later adapter is compared with the one"
                    " that serves. Put each adapter into a folder of its own with its evaluation beside it, such as"
                    " s3://bucket/NAME/adapter."
                )
    return problems


def _folder(source: str) -> str:
    """Return the address of the evaluation beside an adapter; empty where there can be none."""
    beside = evaluation_object(source.rstrip("/"))
    return f"s3://{beside['bucket']}/{beside['key']}" if beside else ""


def adapter_notes(
    adapters: Any, tasks: Sequence[Mapping[str, Any]], path: str, *, default: str, engine: str = VLLM
) -> list[str]:
    """Return a sentence for each task whose requests will be refused, because its adapter is not deployed.

    Args:
        adapters: sources of the further ones by name.
        tasks: the content of the task files.
        path: of the parameters.
        default: name of the default task's adapter.
        engine: its kind; llama.cpp serves the default task alone.
    """
    deployed = {default, *(adapters if isinstance(adapters, dict) else ())}
    return [
        f"No adapter is deployed for the task {task['name']}, so its requests are answered with 503."
        + (
            " The engine llamacpp serves the default task alone."
            if engine == LLAMACPP
            else f" Put its source into the parameter {path}/{SETTING_PREFIX}{task['adapter']} to have it served."
        )
        for task in tasks
        if task.get("adapter") not in deployed
    ]


def adapter_golden(adapters: Any, tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the golden notes of the tasks whose adapters are further ones.

    Args:
        adapters: sources by name.
        tasks: the content of the task files.

    Returns:
        Each with `adapter` and `path`, the endpoint that answers it, and the task before its name.
    """
    return [
        {
            **note,
            "name": f"{task['name']}/{note['name']}",
            "adapter": task["adapter"],
            "path": f"/api/v1/tasks/{task['name']}/extract",
        }
        for task in tasks
        if isinstance(adapters, dict) and task.get("adapter") in adapters
        for note in task.get("golden") or ()
    ]


def compared_adapters(adapters: Any, settings: Mapping[str, str], path: str) -> list[dict[str, str]]:
    """Return for each further adapter what it is compared with and where it is recorded that it serves.

    Args:
        adapters: sources by name.
        settings: by name.
        path: of the parameters.

    Returns:
        Each with `candidate`, `serving` and `parameter`.
    """
    return [
        {
            "candidate": source,
            "serving": settings.get(f"{SERVING_PREFIX}{name}", ""),
            "parameter": f"{path}/{SERVING_PREFIX}{name}",
        }
        for name, source in (sorted(adapters.items()) if isinstance(adapters, dict) else ())
    ]


def lora_options(models: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return the engine's options for adapters that are more than one, or of a higher rank than files/engine.yaml has.

    Args:
        models: by name; an adapter has its `rank` where that is known.
    """
    return dict(_options([model for name, model in models.items() if is_adapter(name)]))


# As roles/inference_stack/files/engine.yaml has it.
_RANK = 16


def _options(adapters: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    if len(adapters) > 1:
        yield "max-loras", len(adapters)
    rank = max((int(adapter.get("rank") or 0) for adapter in adapters), default=0)
    if rank > _RANK:
        # One that is higher than any is left to the engine, which says so.
        yield "max-lora-rank", engine_rank(rank) or rank


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "adapter_golden": adapter_golden,
            "adapter_models": adapter_models,
            "adapter_notes": adapter_notes,
            "adapter_problems": adapter_problems,
            "compared_adapters": compared_adapters,
            "further_adapters": further_adapters,
            "lora_options": lora_options,
            "release_adapters": release_adapters,
        }
