"""Makes a Python for Windows of the wheels in DIRECTORY/wheels and of this Python's own library. Run by scripts/wine-test.

lay_out.py DIRECTORY
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import zipfile

BESIDE = ("python3", "vcruntime")  # libraries that stand beside python.exe
LEFT_OUT = shutil.ignore_patterns(
    "lib-dynload", "test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__", "config-*"
)


def main() -> None:
    place = pathlib.Path(sys.argv[1])
    for wheel in sorted((place / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            if wheel.name.startswith("panda3d-"):
                take_python(archive, place)
            else:
                archive.extractall(place / "Lib" / "site-packages")
    shutil.copytree(os.path.dirname(os.__file__), place / "Lib", ignore=LEFT_OUT, dirs_exist_ok=True)
    packages = place / "Lib" / "site-packages"
    (packages / "winpty").rename(packages / "winpty_real")
    (packages / "winpty").mkdir()


def take_python(archive: zipfile.ZipFile, place: pathlib.Path) -> None:
    """CPython's libraries and compiled modules; the system's own ones Wine has itself."""
    for name in archive.namelist():
        directory, _, file = name.rpartition("/")
        if not directory.endswith("deploy_libs") or file.startswith("api-ms-") or not file.endswith((".dll", ".pyd")):
            continue
        to = place if file.lower().startswith(BESIDE) else place / "DLLs"
        (to / file).write_bytes(archive.read(name))


if __name__ == "__main__":
    main()
