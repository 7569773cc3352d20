"""Where events are kept when nobody says it: a file for each set of roots."""

from pathlib import Path

import pytest

from imgd.config import Settings
from imgd.daemon import _own_database
from imgd.errors import NotNow
from imgd.setting_kinds import Root


def own(*names: str, below: Path) -> str:
    """The database of these roots."""
    return _own_database(Settings(roots=tuple(Root(name, below / name) for name in names)))


def test_the_same_roots_have_the_same_file_and_others_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ours = own("a", "b", below=tmp_path)
    assert ours.startswith(f"sqlite:{tmp_path}/state/imgd/events-")
    assert (tmp_path / "state" / "imgd").stat().st_mode & 0o777 == 0o700
    assert own("b", "a", below=tmp_path) == ours
    assert len({ours, own("a", below=tmp_path), own("a", "b", below=tmp_path / "elsewhere")}) == 3


def test_a_services_own_directory_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has one file, so that its log goes on when it is given another root."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/service:{tmp_path}/second")
    assert {own("a", below=tmp_path), own("a", "b", below=tmp_path)} == {f"sqlite:{tmp_path}/service/events.sqlite"}


def test_what_cannot_be_made_may_be_had_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "state"))
    with pytest.raises(NotNow, match=r"^database: cannot make .*; say where events are kept$"):
        own("a", below=tmp_path)
