"""One distribution: what is in it, what a client's install brings, what a partial context gives."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVS = sorted(p.name for p in (ROOT / "envs").iterdir() if p.is_dir())

pytestmark = pytest.mark.timeout(300)


def build(context: Path, out: Path) -> Path:
    """Build a wheel of a source tree."""
    subprocess.run(
        [Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", out],
        cwd=context,
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def client_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with nothing but the wheel and what it asks for."""
    venv = tmp_path_factory.mktemp("client")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return python


def test_every_source_file_is_in_the_wheel(wheel: Path):
    # hatchling leaves out a package whose path is misspelt, without a word.
    sources = [(ROOT / "core", "paddock")] + [(ROOT / "envs" / e, f"paddock_{e}") for e in ENVS]
    expected = {
        str(path.relative_to(folder))
        for folder, package in sources
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == expected
    assert {f"{package}/py.typed" for _, package in sources} <= names


def test_a_client_s_install_is_small(client_python: Path, tmp_path: Path):
    listed = subprocess.run(
        [client_python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
    )
    installed = {row["name"] for row in json.loads(listed.stdout)} - {"pip", "setuptools"}
    assert len(installed) < 20, sorted(installed)
    assert not {"fastapi", "uvicorn", "starlette", "pexpect", "mcp"} & installed
    assert {"anyio", "httpx", "pydantic", "websockets", "paddock"} <= installed


@pytest.mark.parametrize("code", ["import paddock", "from paddock import *; make, EnvClient"])
def test_importing_it_is_light(client_python: Path, tmp_path: Path, code: str):
    measure = (
        f"{code}\nimport sys\n"
        "status = open('/proc/self/status').read()\n"
        "kb = int(status.split('VmRSS:')[1].split()[0])\n"
        "assert kb < 50 * 1024, kb\n"
        "assert 'fastapi' not in sys.modules\n"
    )
    done = subprocess.run([client_python, "-c", measure], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_without_the_server_s_libraries_the_command_line_says_what_is_missing(
    client_python: Path, tmp_path: Path
):
    paddock = client_python.with_name("paddock")
    listed = subprocess.run([paddock, "list"], cwd=tmp_path, capture_output=True, text=True)
    assert listed.returncode == 0
    assert listed.stdout.startswith("terminal@0.1 ")
    for command, extra in ((["serve", "terminal"], "server"), (["check", "x"], "conformance")):
        said = subprocess.run([paddock, *command], cwd=tmp_path, capture_output=True, text=True)
        assert said.returncode != 0
        assert f"paddock[{extra}]" in said.stderr, said.stderr
        assert "Traceback" not in said.stderr


def test_every_module_can_be_imported_with_everything_installed(tmp_path: Path):
    names = [
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for folder in [ROOT / "core", *(ROOT / "envs" / e for e in ENVS)]
        for path in sorted(folder.rglob("paddock*/**/*.py"))
        if not {"tasks", "tests", "conformance"} & set(path.relative_to(folder).parts[:-1])
        and path.stem != "__main__"
    ]
    code = "import importlib\n" + "\n".join(f"importlib.import_module({n!r})" for n in names)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert len(names) > 60


def test_a_context_with_one_environment_installs_that_one(tmp_path: Path):
    # As an image is built: hatchling skips the folders that are not there, and the catalog does
    # not list what was declared and is not present.
    context = tmp_path / "context"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        context.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, context / name)
    ignore = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(ROOT / "core", context / "core", ignore=ignore)
    shutil.copytree(ROOT / "envs" / "terminal", context / "envs" / "terminal", ignore=ignore)
    wheel = build(context, tmp_path / "out")
    tops = {n.split("/")[0] for n in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in n}
    assert tops == {"paddock", "paddock_terminal"}
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from paddock import Catalog; print(list(Catalog()))"
    listed = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path = ['site', *{_without_ours()!r}]\n{code}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.strip() == "['terminal']", listed.stderr


def _without_ours() -> list[str]:
    """Where Python looks for modules, but for this tree's editable install."""
    site = tuple(p for p in sys.path if p.endswith("site-packages"))
    standard = [p for p in sys.path if p and not p.startswith(str(ROOT)) and p not in site]
    return [*standard, *site]


def test_an_editable_install_is_five_lines_of_paths():
    (lines,) = Path(sys.prefix).glob("lib/python*/site-packages/_paddock.pth")
    expected = [ROOT / "core", *(ROOT / "envs" / e for e in ENVS)]
    assert sorted(lines.read_text().split()) == sorted(map(str, expected))


def test_the_plain_install_asks_for_four_libraries():
    names = {d.split(">")[0] for d in PROJECT["project"]["dependencies"]}
    assert names == {"anyio", "httpx", "pydantic", "websockets"}
