"""The suite's pytest plugin: its options, and a report by requirement.

It is loaded with ``-p paddock.conformance.plugin`` and by nothing else: registered under
``pytest11`` it would sit in every pytest run of everyone who installs Paddock. The options live
here and not in ``conftest.py``, which ``--pyargs`` loads too late for options.
"""

from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest

from paddock.conformance.report import MAX_WHY, Report
from paddock.conformance.requirements import REQUIREMENTS, proves

# What these assert should be explained like the assertions of the tests themselves.
pytest.register_assert_rewrite("paddock.conformance.expect", "paddock.conformance.wire")

__all__ = ["Recorder"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("paddock", "conformance of a server of environments")
    group.addoption("--env-url", metavar="URL", help="the server: http(s)://host:port[/prefix]")
    group.addoption("--env-token", metavar="TOKEN", help="bearer token")
    group.addoption("--env-action", metavar="JSON", help="an action to step with")
    group.addoption("--env-slow-action", metavar="JSON", help="an action that takes 5 s or more")
    group.addoption("--env-timeout", metavar="S", type=float, default=60.0,
                    help="how long to wait for an answer (%(default)s)")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Record, unless whoever started pytest brought a recorder along."""
    plugins = config.pluginmanager
    if not any(isinstance(plugin, Recorder) for plugin in plugins.get_plugins()):
        plugins.register(Recorder(Report()), "paddock-conformance-recorder")


class Recorder:
    """Fills a report from the outcomes of tests, and lets *must* alone decide the exit status.

    Args:
        report: The report to fill.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Ask the server who it is and what it declares not to meet."""
        self.report.url = session.config.getoption("env_url") or ""
        about = _metadata(session.config)
        words = (about.get("name"), about.get("version"))
        self.report.name = " ".join(word for word in words if isinstance(word, str))
        declared = about.get("divergences")
        if isinstance(declared, Mapping):
            items = cast("Mapping[object, object]", declared).items()
            self.report.declared = {str(name): str(why) for name, why in items}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Write into every test's report what it proves."""
        for item in items:
            requirement_id = proves(getattr(item, "function", None))
            if requirement_id is not None:
                item.user_properties.append(("requirement", requirement_id))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a test module that could not be loaded."""
        if report.failed:
            self.report.errors.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of an outcome."""
        requirement_id = _requirement_of(report)
        if requirement_id is None:
            return
        if report.failed:
            self.report.failed(requirement_id, _why_failed(report))
        elif report.skipped:
            self.report.skipped(requirement_id, _why_skipped(report))
        elif report.when == "call":
            self.report.passed(requirement_id)

    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """Call a failing *should* a shortfall, so that it is not listed among the failures."""
        requirement_id = _requirement_of(report)
        if report.failed and requirement_id is not None:
            declared = requirement_id in self.report.declared
            if declared or REQUIREMENTS[requirement_id].level == "should":
                return "short", "s", "SHORT"
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the run fail for a *must*, and for nothing else."""
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            good = self.report.conforms
            session.exitstatus = pytest.ExitCode.OK if good else pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the report, when pytest prints at all."""
        terminalreporter.section("conformance")
        terminalreporter.write_line(self.report.text())


def _metadata(config: pytest.Config) -> dict[str, Any]:
    """Return what the server says of itself; that it answers at all is for the tests to see."""
    url, token = config.getoption("env_url") or "", config.getoption("env_token")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout_s = min(10.0, float(config.getoption("env_timeout") or 60))
    try:
        answer = httpx.get(f"{url.rstrip('/')}/metadata", headers=headers, timeout=timeout_s)
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _requirement_of(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    if isinstance(report, pytest.TestReport):
        for name, value in report.user_properties:
            if name == "requirement":
                return str(value)
    return None


def _why_failed(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(report.longrepr if crash is None else crash.message)
    # Only the first line: what pytest adds to it is about the test's code, not about the server.
    first = message.strip().partition("\n")[0]
    return first.removeprefix("AssertionError: ")[:MAX_WHY]


def _why_skipped(report: pytest.TestReport) -> str:
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    return reason.removeprefix("Skipped: ")
