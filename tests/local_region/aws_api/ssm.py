"""The Systems Manager calls that moto lacks: sessions, which instances are Online, and which are connected."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from moto.ssm.models import Parameter, ssm_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, json_answer, json_error
from tests.local_region.aws_api.ec2 import Ec2
from tests.local_region.aws_api.session_documents import DocumentRefusedError, plan
from tests.local_region.faults import Faults

COUNTER_FILE = "count"
AGENT_ANSWER_SECONDS = 2.0
# The agent's own interval. Without a ping AWS goes on to call the instance Online for as long.
PING_SECONDS = 300.0


@dataclass(frozen=True)
class Ping:
    """What Systems Manager knows of an agent.

    Attributes:
        agent: When it started, as the machine names that.
        at: When it last said that it is there, in seconds since the epoch.
    """

    agent: str
    at: float


class Ssm:
    """Sessions lead to the instances' containers, through the region's own session-manager-plugin."""

    def __init__(self, ec2: Ec2, sessions: Path, faults: Faults) -> None:
        """Begin with no session.

        Args:
            ec2: Knows which instances there are, and their machines.
            sessions: Folder where the plugin writes each session's output and this class counts them.
            faults: The region's.
        """
        self._ec2 = ec2
        self._folder = sessions
        self._faults = faults
        self._lock = threading.Lock()
        self._sessions: dict[str, dict[str, Any]] = {}
        self._pings: dict[str, Ping] = {}

    def answer(self, call: Call) -> Response | None:
        """Answer a call; None for calls that are moto's."""
        handlers: dict[str, Callable[[dict[str, Any]], Response]] = {
            "StartSession": self._start_session,
            "TerminateSession": self._terminate_session,
            "DescribeSessions": self._describe_sessions,
            "DescribeInstanceInformation": self._describe_instance_information,
            "GetConnectionStatus": self._get_connection_status,
        }
        handler = handlers.get(call.action)
        return handler(call.json()) if handler else None

    def _start_session(self, request: dict[str, Any]) -> Response:
        target = request.get("Target", "")
        if self._faults.session_refusal:
            return json_error(self._faults.session_refusal, f"fault: no session with {target}.")
        if not self._is_connected(target, max_age=AGENT_ANSWER_SECONDS):
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
        address = f"docker://{self._ec2.machine_of(target).container}{planned.query()}"
        return json_answer({"SessionId": session, "StreamUrl": address, "TokenValue": str(log)})

    def _terminate_session(self, request: dict[str, Any]) -> Response:
        session = request.get("SessionId", "")
        with self._lock:
            if session in self._sessions:
                self._sessions[session] |= {"Status": "Terminated", "EndDate": _now()}
                machine = self._ec2.machine_of(self._sessions[session]["Target"])
                threading.Thread(target=machine.end_session, args=(session,), daemon=True).start()
        return json_answer({"SessionId": session})

    def _describe_sessions(self, request: dict[str, Any]) -> Response:
        active = request.get("State", "Active") == "Active"
        with self._lock:
            sessions = [each for each in self._sessions.values() if (each["Status"] == "Connected") == active]
        return json_answer({"Sessions": sessions})

    def _describe_instance_information(self, request: dict[str, Any]) -> Response:
        filters: dict[str, list[str]] = {each["Key"]: each["Values"] for each in request.get("Filters", [])}
        filters |= {each["key"]: each["valueSet"] for each in request.get("InstanceInformationFilterList", [])}
        self.note_pings()
        entries = [self._information(each) for each in self._ec2.instances() if each.id in self._pings]
        if "InstanceIds" in filters:
            entries = [each for each in entries if each["InstanceId"] in filters["InstanceIds"]]
        if "PingStatus" in filters:
            entries = [each for each in entries if each["PingStatus"] in filters["PingStatus"]]
        return json_answer({"InstanceInformationList": entries})

    def _information(self, instance: Any) -> dict[str, Any]:
        ping = self._pings[instance.id]
        return {
            "InstanceId": instance.id,
            "PingStatus": "Online" if _now() - ping.at < PING_SECONDS else "ConnectionLost",
            "LastPingDateTime": ping.at,
            "AgentVersion": "3.3.0.0",
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Debian GNU/Linux",
            "PlatformVersion": "12",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.private_ip,
            "ComputerName": instance.private_dns_name,
        }

    def _get_connection_status(self, request: dict[str, Any]) -> Response:
        target = request.get("Target", "")
        status = "connected" if self._is_connected(target) else "notconnected"
        return json_answer({"Target": target, "Status": status})

    def note_pings(self) -> None:
        """Have each agent that runs ping when it is due: at its start, and from then on at its interval.

        To be called before an instance stops too: what its agent said last is what AWS goes by for minutes.
        """
        for instance in self._ec2.instances():
            start = self._ec2.machine_of(instance.id).agent_start() if self._may_answer(instance) else None
            last = self._pings.get(instance.id)
            if start is not None and (last is None or last.agent != start or _now() - last.at >= PING_SECONDS):
                self._pings[instance.id] = Ping(start, _now())

    def _is_connected(self, instance_id: str, max_age: float = 0.0) -> bool:
        """Say whether the agent answers now, whatever it last said."""
        answering = any(each.id == instance_id and self._may_answer(each) for each in self._ec2.instances())
        return answering and bool(self._ec2.machine_of(instance_id).agent_is_active(max_age))

    def _may_answer(self, instance: Any) -> bool:
        return bool(self._faults.instance_start != "offline" and instance.state == "running")

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
