"""Faults that tests switch on in a region: a file each, read by the API server and by the session plugin.

| fault | value |
|---|---|
| `instance-start` | `capacity`: EC2 refuses the start; `stuck`: it stays pending; `offline`: it never is Online |
| `session-refusal` | `CODE`: every session is refused with this error, such as `ThrottlingException` |
| `zone-capacity` | zones, with spaces between: EC2 has no capacity in them, to launch or to start |
| `profile-delay` | seconds in which EC2 does not know a new instance profile |
| `session-drop` | `NUMBER BYTES`: session NUMBER (0: every one) breaks off after BYTES of output |
| `session-latency` | seconds that opening a session takes |
| `s3-cut` | `BUCKET BYTES`: every object read from the bucket breaks off after BYTES |
| `clock` | seconds by which AWS's clock is ahead: to the instance, its own clock is so much behind |
| `deny` | `ACTION` names, a line each: the instance's role is refused them |

The registry refuses when its container is stopped, and crawls when its processor time is cut:
`LocalRegion.stop_registry`, `LocalRegion.slow_down_registry`. A missing secret is one deleted through the API.
"""

from __future__ import annotations

from pathlib import Path

FAULTS = (
    *("instance-start", "zone-capacity", "profile-delay"),
    *("session-refusal", "session-drop", "session-latency", "s3-cut", "clock", "deny"),
)


class Faults:
    """The faults of one region."""

    def __init__(self, folder: Path) -> None:
        """Read and write the faults of a folder.

        Args:
            folder: The region's folder of faults.
        """
        self._folder = folder

    def switch_on(self, fault: str, value: str) -> None:
        """Switch a fault on.

        Args:
            fault: One of the table above.
            value: As the table has it.

        Raises:
            ValueError: There is no such fault.
        """
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is not one of {', '.join(FAULTS)}")
        (self._folder / fault).write_text(f"{value}\n", encoding="ascii")

    def switch_off(self, *faults: str) -> None:
        """Switch the named faults off; all of them when none is named."""
        for fault in faults or FAULTS:
            (self._folder / fault).unlink(missing_ok=True)

    def value(self, fault: str) -> str:
        """Return the value of a fault; empty when it is off."""
        try:
            return (self._folder / fault).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def switched_on(self) -> dict[str, str]:
        """Return the faults that are on, with their values."""
        return {fault: self.value(fault) for fault in FAULTS if self.value(fault)}

    @property
    def instance_start(self) -> str:
        """How a start of the instance goes wrong; empty when it does not."""
        return self.value("instance-start")

    @property
    def session_refusal(self) -> str:
        """The error with which every session is refused; empty when none is."""
        return self.value("session-refusal")

    @property
    def full_zones(self) -> set[str]:
        """Zones in which EC2 has no capacity."""
        return set(self.value("zone-capacity").split())

    @property
    def profile_delay(self) -> float:
        """Seconds in which EC2 does not know a new instance profile."""
        return float(self.value("profile-delay") or 0)

    @property
    def s3_cut(self) -> tuple[str, int] | None:
        """The bucket whose objects break off, and after how many bytes; None when none do."""
        bucket, _, size = self.value("s3-cut").partition(" ")
        return (bucket, int(size)) if bucket else None

    @property
    def clock(self) -> float:
        """Seconds by which AWS's clock is ahead."""
        return float(self.value("clock") or 0)

    @property
    def denied(self) -> set[str]:
        """Actions that the instance's role is refused."""
        return set(self.value("deny").split())
