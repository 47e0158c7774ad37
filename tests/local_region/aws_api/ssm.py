"""The Systems Manager calls that moto lacks: sessions, and which instances are Online."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from moto.ssm.models import Parameter, ssm_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, json_answer, json_error
from tests.local_region.aws_api.ec2 import Ec2
from tests.local_region.aws_api.session_documents import DocumentRefusedError, plan
from tests.local_region.docker.machine import Machine
from tests.local_region.faults import Faults

COUNTER_FILE = "count"
AGENT_ANSWER_SECONDS = 2.0


class Ssm:
    """Sessions lead to the instance container, through the region's own session-manager-plugin."""

    def __init__(self, machine: Machine, ec2: Ec2, sessions: Path, faults: Faults) -> None:
        """Begin with no session.

        Args:
            machine: The instance's.
            ec2: Knows which instances there are.
            sessions: Folder where the plugin writes each session's output and this class counts them.
            faults: The region's.
        """
        self._machine = machine
        self._ec2 = ec2
        self._folder = sessions
        self._faults = faults
        self._lock = threading.Lock()
        self._sessions: dict[str, dict[str, Any]] = {}

    def answer(self, call: Call) -> Response | None:
        """Answer a call; None for calls that are moto's."""
        handlers: dict[str, Callable[[dict[str, Any]], Response]] = {
            "StartSession": self._start_session,
            "TerminateSession": self._terminate_session,
            "DescribeSessions": self._describe_sessions,
            "DescribeInstanceInformation": self._describe_instance_information,
        }
        handler = handlers.get(call.action)
        return handler(call.json()) if handler else None

    def _start_session(self, request: dict[str, Any]) -> Response:
        target = request.get("Target", "")
        if not self._is_online(target, max_age=AGENT_ANSWER_SECONDS):
            return json_error("TargetNotConnected", f"{target} is not connected.")
        try:
            planned = plan(request)
        except DocumentRefusedError as refusal:
            return json_error(refusal.code, str(refusal))
        number = self._count()
        session = f"local-region-{uuid4().hex[:17]}"
        with self._lock:
            self._sessions[session] = {
                "SessionId": session,
                "Target": target,
                "Status": "Connected",
                "StartDate": _now(),
            }
        # AWS puts the address of a web socket here; our plugin finds the container and the place of the log.
        log = self._folder / f"{number:05d}-{session}.log"
        address = f"docker://{self._machine.container}{planned.query()}"
        return json_answer({"SessionId": session, "StreamUrl": address, "TokenValue": str(log)})

    def _terminate_session(self, request: dict[str, Any]) -> Response:
        session = request.get("SessionId", "")
        with self._lock:
            if session in self._sessions:
                self._sessions[session] |= {"Status": "Terminated", "EndDate": _now()}
        threading.Thread(target=self._machine.end_session, args=(session,), daemon=True).start()
        return json_answer({"SessionId": session})

    def _describe_sessions(self, request: dict[str, Any]) -> Response:
        active = request.get("State", "Active") == "Active"
        with self._lock:
            sessions = [each for each in self._sessions.values() if (each["Status"] == "Connected") == active]
        return json_answer({"Sessions": sessions})

    def _describe_instance_information(self, request: dict[str, Any]) -> Response:
        filters: dict[str, list[str]] = {each["Key"]: each["Values"] for each in request.get("Filters", [])}
        filters |= {each["key"]: each["valueSet"] for each in request.get("InstanceInformationFilterList", [])}
        entries = [self._information(instance) for instance in self._ec2.instances()]
        if "InstanceIds" in filters:
            entries = [each for each in entries if each["InstanceId"] in filters["InstanceIds"]]
        if "PingStatus" in filters:
            entries = [each for each in entries if each["PingStatus"] in filters["PingStatus"]]
        return json_answer({"InstanceInformationList": entries})

    def _information(self, instance: Any) -> dict[str, Any]:
        online = self._is_online(instance.id)
        return {
            "InstanceId": instance.id,
            "PingStatus": "Online" if online else "ConnectionLost",
            "LastPingDateTime": _now(),
            "AgentVersion": "3.3.0.0",
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Debian GNU/Linux",
            "PlatformVersion": "12",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.private_ip,
            "ComputerName": instance.private_dns_name,
        }

    def _is_online(self, instance_id: str, max_age: float = 0.0) -> bool:
        if self._faults.instance_start == "offline":
            return False
        running = any(each.id == instance_id and each.state == "running" for each in self._ec2.instances())
        return running and self._machine.agent_is_active(max_age)

    def _count(self) -> int:
        """Return the number of this session, from 1; kept in a file, so that it goes on after a restart."""
        with self._lock:
            counter = self._folder / COUNTER_FILE
            number = int(counter.read_text(encoding="ascii")) + 1 if counter.exists() else 1
            counter.write_text(str(number), encoding="ascii")
        return number


def _now() -> float:
    return dt.datetime.now(dt.UTC).timestamp()


def add_public_parameter(name: str, value: str) -> None:
    """Put one of AWS's own parameters into moto, where PutParameter refuses the reserved name."""
    backend = ssm_backends[names.ACCOUNT_ID][names.AWS_REGION]
    backend._parameters[name].append(  # moto has no other way in
        Parameter(  # type: ignore[abstract]
            account_id=names.ACCOUNT_ID,
            name=name,
            value=value,
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=dt.datetime.now(dt.UTC),
            version=1,
            data_type="aws:ec2:image",
        )
    )
