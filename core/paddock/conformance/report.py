"""What a run of the suite found out, by requirement, and how it is told."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from paddock.conformance.requirements import AREAS, REQUIREMENTS, Requirement

__all__ = ["Finding", "Outcome", "Report"]

MAX_WHY = 300


class Outcome(Enum):
    """How a server does by one requirement. The value is what the report says."""

    OK = "ok"
    SHORT = "short"
    """A *should* it does not meet."""
    FAIL = "FAIL"
    """A *must* it does not meet."""
    NOT_APPLICABLE = "n/a"
    """Nothing to be seen here: the environment has no tools, the server no second session."""
    DECLARED = "declared"
    """Not met, and the server says so itself, with a reason."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one requirement.

    Attributes:
        requirement: Which one.
        outcome: How it went.
        why: What was seen, or why there is nothing to see. Empty if all is well.
    """

    requirement: Requirement
    outcome: Outcome
    why: str = ""


@dataclass
class Report:
    """Collects the outcomes of tests and turns them into findings.

    Attributes:
        url: The server.
        name: What the server calls itself.
        declared: The requirements it says it does not meet, and why.
        errors: What kept the suite itself from running.
    """

    url: str = ""
    name: str = ""
    declared: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: list[str] = field(default_factory=list[str])
    _passed: set[str] = field(default_factory=set[str])
    _failed: dict[str, str] = field(default_factory=dict[str, str])
    _skipped: dict[str, str] = field(default_factory=dict[str, str])

    def passed(self, requirement_id: str) -> None:
        """Take note of a test that passed."""
        self._passed.add(requirement_id)

    def failed(self, requirement_id: str, why: str) -> None:
        """Take note of a test that failed. Of several, the first says why."""
        self._failed.setdefault(requirement_id, why)

    def skipped(self, requirement_id: str, why: str) -> None:
        """Take note of a test that had nothing to look at."""
        self._skipped.setdefault(requirement_id, why)

    def findings(self) -> Iterator[Finding]:
        """Yield one finding per requirement, in the order of the table."""
        for requirement in REQUIREMENTS.values():
            yield self._finding(requirement)

    def _finding(self, requirement: Requirement) -> Finding:
        name = requirement.id
        if name in self._failed:
            if name in self.declared:
                return Finding(requirement, Outcome.DECLARED, self.declared[name])
            bad = Outcome.FAIL if requirement.level == "must" else Outcome.SHORT
            return Finding(requirement, bad, self._failed[name])
        if name in self._passed:
            stale = name in self.declared
            return Finding(requirement, Outcome.OK, "declared as a divergence" if stale else "")
        return Finding(requirement, Outcome.NOT_APPLICABLE, self._skipped.get(name, "not run"))

    @property
    def conforms(self) -> bool:
        """No *must* failed, and the suite could run."""
        failed = any(finding.outcome is Outcome.FAIL for finding in self.findings())
        return bool(self._passed) and not failed and not self.errors

    def text(self) -> str:
        """Return the report for people: a table per area, a summary, a verdict."""
        findings = list(self.findings())
        lines = [f"{self.name or 'a server'} at {self.url}"]
        for area, title in AREAS.items():
            rows = [finding for finding in findings if finding.requirement.area == area]
            lines += ["", f"{title} ({_counted(rows)})"]
            for row in rows:
                shown = row.requirement
                lines.append(f"  {row.outcome.value:<8}  {shown.id:<23}  {shown.text}")
                lines += [f"{'':12}{line}" for line in row.why.splitlines()]
        unknown = sorted(set(self.declared) - set(REQUIREMENTS))
        lines += [""] if unknown or self.errors else []
        lines += [
            f"declares a divergence from {name!r}, which is no requirement" for name in unknown
        ]
        lines += self.errors
        lines += ["", f"{_counted(findings)}: {self._verdict(findings)}"]
        return "\n".join(lines)

    def _verdict(self, findings: list[Finding]) -> str:
        if self.errors or not self._passed:
            return "the suite could not run"
        if not self.conforms:
            return "does not conform to OpenEnv 0.10.0"
        if any(finding.outcome is Outcome.SHORT for finding in findings):
            return "conforms to OpenEnv 0.10.0; falls short of what Paddock asks beyond it"
        return "conforms"

    def json(self) -> str:
        """Return the report for programs."""
        findings: list[dict[str, Any]] = [
            {
                "id": finding.requirement.id,
                "level": finding.requirement.level,
                "text": finding.requirement.text,
                "source": finding.requirement.source,
                "outcome": finding.outcome.value.lower(),
                "why": finding.why or None,
            }
            for finding in self.findings()
        ]
        about = {"url": self.url, "name": self.name, "conforms": self.conforms}
        return json.dumps({**about, "errors": self.errors, "requirements": findings}, indent=2)


def _counted(findings: list[Finding]) -> str:
    counts = Counter(finding.outcome for finding in findings)
    return ", ".join(f"{counts[o]} {o.value}" for o in Outcome if counts[o] or o is Outcome.OK)
