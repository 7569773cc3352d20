"""Compiled kernels are kept for the next start, and made anew when any file that they may be made of has changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cgi_worker.kernels import halve

KERNELS = Path(halve.__file__).parent
LIMIT_S = 120


def compiled_at(folder: Path) -> dict[str, int]:
    """Load a kernel of a copy, in a process of its own; tell what is kept of it, and when it was written."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kept"), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", "import cgi_worker.kernels.halve as it; print(it.__file__)"]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(folder)
    return {path.name: path.stat().st_mtime_ns for path in (folder / "kept").rglob("halve.*.nb*")}


def test_a_kernel_is_made_anew_when_another_file_has_changed(tmp_path: Path) -> None:
    copy = tmp_path / "cgi_worker" / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cgi_worker" / "__init__.py").touch()
    first = compiled_at(tmp_path)
    assert len(first) == 2, "an index and what was compiled"
    assert compiled_at(tmp_path) == first
    with (copy / "taps.py").open("a") as file:
        file.write("# Another version.\n")
    second = compiled_at(tmp_path)
    assert second.keys() == first.keys()
    assert all(second[name] > first[name] for name in first)
