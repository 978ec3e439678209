"""Every environment folder is whole, and the project file knows it."""

import tomllib
from pathlib import Path

import pytest

from paddock import Catalog, EnvSpec
from paddock.catalog import load

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVS = sorted(p.name for p in (ROOT / "envs").iterdir() if p.is_dir())
TOP = [
    "pyproject.toml", "core", "envs", "images", "tests", "Makefile", "README.md", "LICENSE",
    "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "requirements", "benchmarks", "docs",
    "examples", "docs/adr", ".ci/run",
]  # fmt: skip


@pytest.mark.parametrize("name", TOP)
def test_the_tree_has(name: str):
    assert (ROOT / name).exists()


def test_the_four_environments_are_there():
    assert ENVS == ["browser", "coding", "fileedit", "terminal"]


@pytest.mark.parametrize("env", ENVS)
class TestEnvironment:
    def test_its_folder_is_whole(self, env: str):
        folder = ROOT / "envs" / env
        package = folder / f"paddock_{env}"
        for path in (
            folder / "README.md",
            folder / "tests",
            package / "__init__.py",
            package / "models.py",
            package / "py.typed",
        ):
            assert path.exists(), path.relative_to(ROOT)
        assert not list((folder / "tests").rglob("__init__.py"))

    def test_the_project_file_knows_it(self, env: str):
        hatch = PROJECT["tool"]["hatch"]["build"]
        assert f"envs/{env}" in hatch["dev-mode-dirs"]
        assert f"envs/{env}/paddock_{env}" in hatch["targets"]["wheel"]["packages"]
        linter = PROJECT["tool"]["importlinter"]
        assert f"paddock_{env}" in linter["root_packages"]
        siblings = next(c for c in linter["contracts"] if "know each other" in c["name"])
        assert f"paddock_{env}" in siblings["layers"][0]

    def test_its_spec_describes_it(self, env: str):
        spec = load(f"paddock_{env}:SPEC")
        assert isinstance(spec, EnvSpec)
        assert spec.name == env
        assert spec.entry_point.startswith(f"paddock_{env}.env:")
        assert spec.description.endswith(".")
        spec.codec()

    def test_the_catalog_lists_it_exactly_when_it_works(self, env: str):
        works = (ROOT / "envs" / env / f"paddock_{env}" / "env.py").exists()
        declared = env in PROJECT["project"]["entry-points"]["paddock.envs"]
        assert declared == works == (env in Catalog())
        if works:
            assert Catalog()[env].factory


def test_files_can_be_held_in_the_head():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("core", "envs", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400 and "tests" not in path.parts
    }
    assert not long


def test_no_machine_s_path_and_no_download_address_is_committed():
    # A path that is committed is that of whoever runs this; an index has the rest in its addresses.
    bad = (f"{Path.home()}/", f"{ROOT}/", "files.pythonhosted", "/simple/", "/pool/main")
    hits = [
        f"{path.relative_to(ROOT)}: {word}"
        for pattern in ("**/*.py", "**/*.toml", "**/*.txt", "**/*.md", "Makefile", ".ci/run")
        for path in ROOT.glob(pattern)
        if not {".venv", ".cache", "wire"} & set(path.parts) and path.name != "test_layout.py"
        for word in bad
        if word in path.read_text(errors="replace")
    ]
    assert not hits
