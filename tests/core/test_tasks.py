"""Sets of tasks: task directories, JSON Lines and Python, read when they are asked for."""

import json
import os
from pathlib import Path

import pytest

from paddock.errors import ConfigurationError, InvalidMessage
from paddock.inline import InlineTask, TaskOptions
from paddock.tasks import HarborFolder, JsonLines, Rows, TaskRow, TaskSet, load_tasks, select


def folder(root: Path, name: str, *, check: str = "exit 0\n", more: str = "") -> Path:
    """Write a task directory."""
    path = root / name
    (path / "tests").mkdir(parents=True)
    (path / "environment").mkdir()
    (path / "instruction.md").write_text(f"Do {name}.\n")
    (path / "task.toml").write_text(f"[verifier]\ntimeout_sec = 3\n{more}")
    (path / "environment" / "given.txt").write_text("given\n")
    (path / "tests" / "test.sh").write_text(check)
    return path


def lines(path: Path, count: int) -> Path:
    """Write a file of rows."""
    rows = [{"id": f"row-{n}", "instruction": f"Do {n}."} for n in range(count)]
    path.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b", "a", "c"):
        folder(tmp_path / "train", name)
    (tmp_path / "train" / "not-a-task").mkdir()
    lines(tmp_path / "test.jsonl", 5)
    return tmp_path


def tree(root: Path) -> dict[str, int]:
    return {str(p): p.lstat().st_mtime_ns for p in sorted(root.rglob("*"))}


class TestSplits:
    def test_directories_files_and_python_are_splits_of_one_set(self, root: Path):
        tasks = TaskSet(root, sources={"dev": Rows([TaskRow(id="x")])})
        assert tasks.splits == ["train", "dev", "test"]
        assert [tasks.count(s) for s in tasks.splits] == [3, 1, 5]
        assert tasks.ids("train") == ["a", "b", "c"]
        assert tasks.ids("test") == [f"row-{n}" for n in range(5)]
        assert (tasks.find("row-3").split, tasks.find("row-3").index) == ("test", 3)
        assert (tasks.get("train", 1).id, tasks.get("train", 1).instruction) == ("b", "Do b.")
        assert [t.id for t in tasks.range("test", 1, 3)] == ["row-1", "row-2"]
        assert [t.id for t in tasks.range("test", -1)] == ["row-4"]

    def test_what_is_not_there_is_said(self, root: Path):
        tasks = TaskSet(root)
        with pytest.raises(KeyError):
            tasks.get("nope", 0)
        with pytest.raises(KeyError):
            tasks.find("nope")
        for index in (-1, 3):
            with pytest.raises(IndexError):
                tasks.get("train", index)

    def test_looking_changes_nothing(self, root: Path):
        before = tree(root)
        tasks = TaskSet(root)
        for split in tasks.splits:
            tasks.ids(split)
            for task in tasks.range(split):
                task.public()
                task.content_hash()
        assert tree(root) == before

    def test_a_task_that_cannot_be_read_harms_only_itself(self, root: Path):
        (root / "train" / "b" / "task.toml").write_text("not toml")
        with (root / "test.jsonl").open("a") as file:
            file.write('{"id": "row-5", "unknown": 1}\n')
        tasks = TaskSet(root)
        assert (tasks.count("train"), tasks.count("test")) == (3, 6)
        assert tasks.get("train", 2).id == "c"
        assert tasks.get("test", 4).id == "row-4"
        with pytest.raises(ConfigurationError, match="train/b"):
            tasks.get("train", 1)
        with pytest.raises(ConfigurationError, match=r"task 5: .*unknown"):
            tasks.get("test", 5)

    def test_a_file_that_changes_is_read_anew(self, tmp_path: Path):
        rows = JsonLines(lines(tmp_path / "x.jsonl", 2))
        assert rows.ids() == ["row-0", "row-1"]
        lines(tmp_path / "x.jsonl", 3)
        assert rows.count() == 3
        assert rows.place_of("row-2") == 2

    def test_a_long_file_is_not_understood_to_read_one_line(self, tmp_path: Path):
        path = tmp_path / "x.jsonl"
        path.write_text("garbage\n" * 1000 + '{"id": "good"}\n')
        rows = JsonLines(path)
        assert rows.count() == 1001
        assert rows.read("x", 1000).id == "good"


class TestPython:
    def test_tasks_without_end_are_asked_for_by_index(self):
        made: list[int] = []

        def make(index: int) -> TaskRow:
            made.append(index)
            return TaskRow(id=f"sum-{index}", instruction=f"Add {index} and {index}.")

        tasks = TaskSet(sources={"train": Rows(make)})
        assert tasks.count("train") is None
        assert made == []
        assert tasks.get("train", 10**9).instruction.startswith("Add 1000000000")
        assert made == [10**9]
        assert tasks.find("sum-77").index == 77
        assert [t.index for t in tasks.range("train", 3, 5)] == [3, 4]
        for impossible in (lambda: tasks.ids("train"), lambda: tasks.range("train", 3)):
            with pytest.raises(ValueError, match="no end"):
                impossible()
        for name in ("sum", "other-77", "sum-" + "9" * 5000):
            with pytest.raises(KeyError):
                tasks.find(name)

    def test_a_function_with_a_count_has_an_end(self):
        tasks = TaskSet(sources={"train": Rows(lambda n: TaskRow(id="abc"[n]), count=3)})
        assert tasks.ids("train") == ["a", "b", "c"]
        assert tasks.find("b").index == 1
        with pytest.raises(IndexError):
            tasks.get("train", 3)


class TestHash:
    @pytest.mark.parametrize(
        "change",
        [
            lambda p: (p / "tests" / "test.sh").write_text("exit 1\n"),
            lambda p: (p / "instruction.md").write_text("Do it otherwise.\n"),
            lambda p: (p / "environment" / "given.txt").rename(p / "environment" / "taken.txt"),
            lambda p: (p / "environment" / "given.txt").chmod(0o755),
            lambda p: (p / "environment" / "link").symlink_to("given.txt"),
        ],
        ids=["check", "instruction", "name", "mode", "link"],
    )
    def test_whatever_is_in_a_task_is_in_its_hash(self, tmp_path: Path, change: object):
        path = folder(tmp_path, "a")
        source = HarborFolder(tmp_path)
        before = source.read("x", 0).content_hash()
        assert source.read("x", 0).content_hash() == before
        change(path)
        assert source.read("x", 0).content_hash() != before

    def test_a_copy_has_the_same(self, tmp_path: Path):
        one, other = folder(tmp_path / "1", "a"), folder(tmp_path / "2", "a")
        os.utime(other / "task.toml", (1, 1))
        (other / "tests" / "__pycache__").mkdir()
        (other / "tests" / "__pycache__" / "x.pyc").write_bytes(b"x")
        hashes = {HarborFolder(p.parent).read("x", 0).content_hash() for p in (one, other)}
        assert len(hashes) == 1

    def test_a_row_s_check_is_in_its_hash(self):
        rows = [
            TaskRow(id="a", tests={"files": {"tests/test.sh": text}}) for text in ("true", "false")
        ]
        one, other = (Rows(rows).read("x", n).content_hash() for n in (0, 1))
        assert one != other


class TestLoading:
    def test_a_path_is_taken_for_what_it_is(self, root: Path):
        assert load_tasks(root).splits == ["train", "test"]
        assert load_tasks(root / "train").ids("train") == ["a", "b", "c"]
        assert load_tasks(root / "train" / "b").ids("train") == ["b"]
        assert load_tasks(root / "test.jsonl").count("test") == 5
        for nothing in (root / "train" / "not-a-task", root / "nope"):
            with pytest.raises(ConfigurationError):
                load_tasks(nothing)


class TestSelection:
    @pytest.mark.parametrize(
        "options",
        [
            {"task_id": "b"},
            {"index": 1},
            {"split": "train", "index": 1},
            {"task_id": "b", "split": "train", "index": 1},
        ],
        ids=str,
    )
    def test_a_task_is_named_by_id_or_by_place(self, root: Path, options: dict[str, object]):
        task = select(TaskSet(root), TaskOptions(**options))
        assert task is not None
        assert task.id == "b"

    @pytest.mark.parametrize(
        "options",
        [
            {"task_id": "b", "index": 2},
            {"task_id": "b", "split": "test"},
            {"task_id": "../train/b"},
            {"split": "../train"},
            {"task": InlineTask(id="x"), "task_id": "x"},
            {"task": InlineTask(id="x"), "index": 0},
        ],
        ids=str,
    )
    def test_two_names_for_different_tasks_are_refused(
        self, root: Path, options: dict[str, object]
    ):
        with pytest.raises(InvalidMessage):
            select(TaskSet(root), TaskOptions(**options))

    def test_none_is_none(self, root: Path):
        assert select(TaskSet(root), TaskOptions()) is None
        with pytest.raises(InvalidMessage, match="no tasks"):
            select(None, TaskOptions(index=0))


def test_a_directory_goes_by_value_with_all_its_files(tmp_path: Path):
    path = folder(tmp_path, "a")
    (path / "tests" / "data.bin").write_bytes(b"\xff\x00")
    (path / "environment" / "run.sh").write_text("true")
    (path / "environment" / "run.sh").chmod(0o755)
    options = TaskOptions(**HarborFolder(tmp_path).read("x", 0).by_value())
    assert options.task is not None
    assert options.task.tests is not None
    assert options.workspace is not None
    assert set(options.task.tests.files) == {"tests/test.sh", "tests/data.bin"}
    assert options.workspace.files["run.sh"].mode == "755"
    assert options.task.tests.timeout_s == 3
