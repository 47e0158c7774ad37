"""The tables of the fleet's measurements."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass, field

from tests.benchmarks.fleet.callers import Outcome
from tests.benchmarks.fleet.footprint import Footprint
from tests.benchmarks.fleet.scenes import Fault, Steady


@dataclass(frozen=True)
class Compared:
    """What two engines are served by.

    Attributes:
        name: for the tables.
        alone: one caller.
        many: several.
        without: the processes beside the engines' own.
        whole: all processes.
        fault: one of two engines killed; the seconds until two serve again.
    """

    name: str
    alone: Steady
    many: Steady
    without: Footprint
    whole: Footprint
    fault: Fault


@dataclass
class Report:
    """What was measured, in the order of the tables' rows."""

    steady: list[tuple[str, int, Steady]] = field(default_factory=list)
    faults: list[tuple[str, str, str, Fault]] = field(default_factory=list)
    batches: list[tuple[str, Outcome]] = field(default_factory=list)
    engine: Outcome | None = None
    peers: list[Compared] = field(default_factory=list)

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
        """Return what each adds to an engine that is asked directly, and what a killed engine costs."""
        if not self.peers or self.engine is None:
            return ""
        base = self.engine
        lines = [
            "| chat completions, two real engines | p50 ms | added | p99 ms | added | requests/s, 4 callers | p99 ms "
            "| CPU ms a request | processes beside the engines' | MiB | with engines |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            f"| an engine, asked directly | {base.p50_ms:.1f} | | {base.p99_ms:.1f} | | | | | | | |",
        ]
        for each in self.peers:
            alone, many = each.alone.outcome, each.many.outcome
            lines.append(
                f"| {each.name} | {alone.p50_ms:.1f} | {alone.p50_ms - base.p50_ms:+.1f} | {alone.p99_ms:.1f} "
                f"| {alone.p99_ms - base.p99_ms:+.1f} | {many.rate:.1f} | {many.p99_ms:.1f} | {each.many.cpu_ms:.1f} "
                f"| {each.without.processes} | {each.without.mebibytes:,.0f} | {each.whole.mebibytes:,.0f} |"
            )
        lines += [
            "",
            "| kill -9 of one of two engines, 4 callers who try once | sent | lost | longest ms | s until two serve |",
            "|---|---:|---:|---:|---:|",
        ]
        for each in self.peers:
            seen = each.fault.outcome
            lines.append(
                f"| {each.name} | {seen.sent:,} | {lost(seen)} | {seen.longest_ms:,.0f} | {each.fault.seconds:.1f} |"
            )
        return "\n".join(lines) + "\n"


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
