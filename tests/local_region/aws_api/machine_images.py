"""CreateImage with tags for the snapshots, which moto refuses."""

from __future__ import annotations

import functools
from typing import Any

from moto.ec2.models.amis import AmiBackend


def tag_snapshots_too() -> None:
    """Have every image that moto makes of an instance give its snapshot the tags asked for it; once for a process."""
    made: Any = AmiBackend.create_image
    if hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def make(self: Any, *arguments: Any, tag_specifications: list[dict[str, Any]], **named: Any) -> Any:
        of_images = [each for each in tag_specifications if each["ResourceType"] == "image"]
        image = made(self, *arguments, tag_specifications=of_images, **named)
        for each in tag_specifications:
            if each["ResourceType"] == "snapshot":
                image.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in each["Tags"]})
        return image

    setattr(AmiBackend, "create_image", make)  # noqa: B010 - mypy refuses the other
