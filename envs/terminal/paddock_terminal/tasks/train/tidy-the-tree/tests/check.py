import os
import shutil
import sys
import tempfile
from pathlib import Path

project = Path(sys.argv[1]) / "project"
contents = {
    "bin/build.sh": "#!/bin/bash\necho build\n",
    "bin/test.sh": "#!/bin/bash\necho test\n",
    "docs/old/readme.txt": "Read me.\n",
    "docs/readme.txt": "Read me.\n",
    "lib/deep/a copy.txt": "Read me.\n",
    "lib/deep/x2.py": "x = 1\n",
    "lib/x.py": "x = 1\n",
    "lib/y.py": "y = 1\n",
}
links = {
    "docs/readme.txt": "docs/old/readme.txt",
    "lib/deep/a copy.txt": "docs/old/readme.txt",
    "lib/x.py": "lib/deep/x2.py",
}


def fail(why):
    print(f"FAIL: {why}")
    sys.exit(1)


found = set()
for below, _, names in os.walk(project):
    found |= {str((Path(below) / name).relative_to(project)) for name in names}
if found != set(contents):
    fail(f"files: {sorted(found ^ set(contents))} should, or should not, be there")
for name, text in contents.items():
    path = project / name
    if path.is_symlink() != (name in links):
        fail(f"{name} is {'a' if path.is_symlink() else 'no'} symbolic link")
    if name in links:
        target = os.readlink(path)
        if os.path.isabs(target):
            fail(f"{name} is a link with an absolute target")
        there = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if there != links[name]:
            fail(f"{name} leads to {there}")
        continue
    if path.read_text() != text:
        fail(f"the content of {name} was changed")
    if bool(path.stat().st_mode & 0o100) != name.endswith(".sh"):
        fail(f"{name} has mode {path.stat().st_mode & 0o777:o}")
with tempfile.TemporaryDirectory() as made:
    moved = Path(made) / "moved"
    shutil.copytree(project, moved, symlinks=True)
    for name, text in contents.items():
        if (moved / name).read_text() != text:
            fail(f"{name} does not work any more when project/ is moved")
print("PASS")
