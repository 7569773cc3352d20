"""The command line: flags from the record, one line and exit code 2 for what is wrong."""

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from imgd import cli
from imgd.config import Settings
from imgd.settings_table import settings_table


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    given: list[Settings] = []
    daemon = types.ModuleType("imgd.daemon")
    daemon.run = lambda settings, again: given.append(settings) or 0  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "imgd.daemon", daemon)
    monkeypatch.delenv("IMGD_CONFIG", raising=False)
    return given


def test_flags_reach_the_daemon(started: list[Settings], tmp_path: Path) -> None:
    arguments = ["serve", f"n={tmp_path}", "--bind", "127.0.0.1:0", "--bind", "unix:/x", "--budget", "64MiB"]
    assert cli.main([*arguments, "--workers", "3", "--step-limit-s", "4.5"]) == 0
    (settings,) = started
    assert (settings.roots[0].name, settings.bind) == ("n", ("127.0.0.1:0", "unix:/x"))
    assert (settings.budget_bytes, settings.workers_max, settings.step_limit_s) == (64 * 1024**2, 3, 4.5)


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["dance"], ["serve", "--budgets", "1"], ["serve", "--bud", "64MiB"], ["serve", ".", "--workers"],
        ["serve"], ["serve", "/no/such"], ["serve", ".", "--budget", "x"], ["serve", ".", "--config", "/no"],
    ],
)  # fmt: skip
def test_one_line_and_exit_code_2(
    started: list[Settings], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = int(str(end.code))
    told = capsys.readouterr().err
    assert code == 2
    assert told.startswith("imgd: ")
    assert told.count("\n") == 1
    assert started == []


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    assert capsys.readouterr().out == settings_table()


def test_the_folder_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["page"]) == 0
    assert (Path(capsys.readouterr().out.rstrip("\n")) / "index.html").is_file()


def test_the_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "9.9")
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == "imgd 9.9\n"
