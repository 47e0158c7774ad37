"""The tables of the fleet's measurements."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass, field

from tests.benchmarks.fleet.callers import Outcome
from tests.benchmarks.fleet.scenes import Fault, Steady


@dataclass
class Report:
    """What was measured, in the order of the tables' rows."""

    steady: list[tuple[str, int, Steady]] = field(default_factory=list)
    faults: list[tuple[str, str, str, Fault]] = field(default_factory=list)
    batches: list[tuple[str, Outcome]] = field(default_factory=list)
    peers: list[tuple[str, Steady, Steady, Fault | None]] = field(default_factory=list)

    def text(self) -> str:
        """Return all tables that have rows, under a line about the machine."""
        tables = [self._steady(), self._faults(), self._batches(), self._peers()]
        return "\n".join([machine(), *(table for table in tables if table)])

    def _steady(self) -> str:
        if not self.steady:
            return ""
        single = next(each.outcome.rate for _, stacks, each in self.steady if stacks == 1)
        lines = [
            "| | stacks | requests/s | x one | p50 ms | p99 ms | lost | MiB | CPU ms a request |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, stacks, each in self.steady:
            seen = each.outcome
            lines.append(
                f"| {name} | {stacks} | {seen.rate:.1f} | {seen.rate / single:.2f} | {seen.p50_ms:.0f} "
                f"| {seen.p99_ms:.0f} | {lost(seen)} | {each.mebibytes:.0f} | {each.cpu_ms:.1f} |"
            )
        return "\n".join(lines) + "\n"

    def _faults(self) -> str:
        if not self.faults:
            return ""
        lines = [
            "| three stacks, under load | balancer | callers try | sent | at first | later | lost | s | longest ms |",
            "|---|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for name, balancer, tries, each in self.faults:
            seen = each.outcome
            lines.append(
                f"| {name} | {balancer} | {tries} | {seen.sent:,} | {seen.first:,} | {seen.retried:,} | {lost(seen)} "
                f"| {each.seconds:.1f} | {seen.longest_ms:,.0f} |"
            )
        return "\n".join(lines) + "\n"

    def _batches(self) -> str:
        lines = [
            "| single texts beside two batches | requests/s | p50 ms | p99 ms | lost |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, seen in self.batches:
            lines.append(f"| {name} | {seen.rate:.1f} | {seen.p50_ms:.0f} | {seen.p99_ms:.0f} | {lost(seen)} |")
        return "\n".join(lines) + "\n" if self.batches else ""

    def _peers(self) -> str:
        lines = [
            "| chat completions, two engines | p50 ms alone | p50 ms | p99 ms | requests/s | MiB | CPU ms a request "
            "| lost when one of two is killed |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, alone, many, fault in self.peers:
            seen = many.outcome
            ended = "" if fault is None else f"{lost(fault.outcome)} of {fault.outcome.sent:,}"
            lines.append(
                f"| {name} | {alone.outcome.p50_ms:.1f} | {seen.p50_ms:.1f} | {seen.p99_ms:.1f} | {seen.rate:.1f} "
                f"| {many.mebibytes:.0f} | {many.cpu_ms:.1f} | {ended} |"
            )
        return "\n".join(lines) + "\n" if self.peers else ""


def lost(seen: Outcome) -> str:
    """Return how many requests were lost, and what they ended with."""
    number = sum(seen.lost.values())
    causes = ", ".join(f"{ended}: {times:,}" for ended, times in sorted(seen.lost.items()))
    return f"{number:,} ({causes})" if number else "0"


def machine() -> str:
    """Return the line about day and machine that stands above the tables."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"load average at the end: {os.getloadavg()[0]:.1f}\n"
    )
