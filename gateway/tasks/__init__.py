"""A task is data: its schema, prompt, adapter, limits and golden notes stand in one YAML file."""

from gateway.tasks.loader import TaskFileError, load_task, load_tasks
from gateway.tasks.model import GoldenNote, Prompt, Task, TaskField

__all__ = ["GoldenNote", "Prompt", "Task", "TaskField", "TaskFileError", "load_task", "load_tasks"]
