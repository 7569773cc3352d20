"""Settings: where they come from, what is refused, and that all are told to people."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from imgd.config import Settings, doc_of
from imgd.errors import ConfigError
from imgd.loading import load_settings
from imgd.setting_kinds import GIB, MIB, Root, TcpBind, UnixBind, parse_bind
from imgd.settings_table import flags_of, settings_table

README = Path(__file__).parents[2] / "README.md"


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "imgd.toml"
    file.write_text('queue_max = 1\nlists_max = 1\nstory_max = 1\nbudget_bytes = "64MiB"\nbind = ["127.0.0.1:1"]\n')
    environ = {"IMGD_LISTS_MAX": "2", "IMGD_STORY_MAX": "2", "HOME": "/", "IMGD_SOCKET": "/x"}
    settings = load_settings({"story_max": "3"}, environ, str(file))
    assert (settings.queue_max, settings.lists_max, settings.story_max) == (1, 2, 3)
    assert (settings.budget_bytes, settings.bind, settings.step_limit_s) == (64 * MIB, ("127.0.0.1:1",), 30.0)
    assert load_settings({}, {"IMGD_CONFIG": str(file)}).queue_max == 1


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512MiB", 512 * MIB),
        ("1.5GiB", 3 * GIB // 2),
        ("20000000", 20_000_000),
        (20_000_000, 20_000_000),
        ("32 MiB", 32 * MIB),
    ],
)
def test_sizes(text: Any, size_bytes: int) -> None:
    assert load_settings({"budget_bytes": text}, {}).budget_bytes == size_bytes


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "colour (command line): there is no such setting"),
    ({"budget_bytes": "12 parsecs"}, "budget_bytes (command line): must be a size such as 512MiB, not '12 parsecs'"),
    ({"budget_bytes": "512MB"}, "budget_bytes (command line): must be a size"),
    ({"budget_bytes": "1KiB"}, "budget_bytes (command line): must be from"),
    ({"budget_bytes": -1}, "budget_bytes (command line): must be from"),
    ({"budget_bytes": True}, "budget_bytes (command line): must be a size"),
    ({"workers_max": "0"}, "workers_max (command line): must be from 1 to 1024, not 0"),
    ({"workers_max": "two"}, "workers_max (command line): must be a whole number, not 'two'"),
    ({"workers_max": 1.5}, "workers_max (command line): must be a whole number"),
    ({"step_limit_s": "inf"}, "step_limit_s (command line): must be a number of seconds"),
    ({"step_limit_s": float("nan")}, "step_limit_s (command line): must be from"),
    ({"worker_memory_bytes": "5"}, "worker_memory_bytes (command line): must be from"),
    ({"log_level": "loud"}, "log_level (command line): must be one of"),
    ({"bind": ["localhost"]}, "bind (command line): must be HOST:PORT"),
    ({"bind": ["localhost:99999"]}, "bind (command line): must be HOST:PORT"),
    ({"bind": ["::1:80"]}, "bind (command line): must be HOST:PORT"),
    ({"bind": ["unix:relative"]}, "bind (command line): must be unix:/path"),
    ({"bind": ["unix:/" + "x" * 200]}, "bind (command line): must be unix:/path"),
    ({"bind": 8765}, "bind (command line): must be a list of texts"),
    ({"bind": ["a:1", "a:1"]}, "bind: a:1 is named twice"),
    ({"bind": []}, "bind: names no place"),
    ({"bind": ["unix:/x"], "cgi_socket": "/x"}, "bind: unix:/x is named twice"),
    ({"cgi_socket": "x"}, "cgi_socket: must be an absolute path"),
    ({"listing_max": 100, "scan_max": 10}, "listing_max: is above scan_max"),
    ({"roots": ["/no/such/dir"]}, "roots (command line): must be directories; '/no/such/dir' is not one"),
    ({"roots": ["a=/", "a=/tmp"]}, "roots (command line): must be different names"),
    ({"roots": ["..=/"]}, "roots (command line): must be names other than '..'"),
    ({"roots": ["x" * 65 + "=/"]}, "roots (command line): must be directories"),
]


@pytest.mark.parametrize(("flags", "line"), WRONG, ids=[line for _, line in WRONG])
def test_wrong_settings(flags: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags, {})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_wrong_settings_name_their_source(tmp_path: Path) -> None:
    file = tmp_path / "imgd.toml"
    for text, line in (("queue_max = 0", f"queue_max ({file}): must be from"), ("= 3", f"config: {file} is not TOML")):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_settings({}, {}, str(file))
        assert str(caught.value).startswith(line)
    for environ, line in (
        ({"IMGD_QUEUE_MAX": "x"}, "queue_max (IMGD_QUEUE_MAX)"),
        ({"IMGD_QUEUE": "1"}, "queue (IMGD_"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings({}, environ)
        assert str(caught.value).startswith(line)
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings({}, {}, str(tmp_path / "no"))


def test_no_wrong_record_can_be_made() -> None:
    with pytest.raises(ConfigError):
        Settings(queue_max=0)
    assert Settings(worker_memory_bytes=0).worker_memory_bytes == 0


def test_roots_get_names(tmp_path: Path) -> None:
    for name in ("a b", "x/night", "y/night", "=odd"):
        (tmp_path / name).mkdir(parents=True)
    texts = [f"{tmp_path}/a b", f"{tmp_path}/x/night", f"{tmp_path}/y/night/", f"n={tmp_path}", f"{tmp_path}/=odd", "/"]
    names = [root.name for root in load_settings({"roots": texts}, {}).roots]
    assert names == ["a_b", "night", "night-2", "n", "_odd", "root"]
    by_table = load_settings({"roots": {"n": str(tmp_path)}}, {}).roots
    assert by_table == (Root("n", tmp_path),)


def test_binds() -> None:
    assert parse_bind("localhost:0") == TcpBind("localhost", 0)
    assert parse_bind("[::1]:80") == TcpBind("::1", 80)
    assert parse_bind("unix:/run/imgd") == UnixBind("/run/imgd")
    assert load_settings({}, {"IMGD_BIND": "a:1,unix:/x"}).bind == ("a:1", "unix:/x")


def test_each_setting_says_why_and_what_unit() -> None:
    for setting in fields(Settings):
        doc = doc_of(setting)
        assert re.match(r"[A-Z]", doc.reason), setting.name
        assert not doc.reason.endswith("."), setting.name
        assert setting.name.endswith("_bytes") == (doc.unit == "bytes"), setting.name
        assert setting.name.endswith("_s") == (doc.unit == "s"), setting.name
        assert flags_of(setting), setting.name
        assert f"| `{setting.name}` |" in settings_table(), setting.name


def test_readme_has_the_table() -> None:
    assert settings_table() in README.read_text(), "paste what `imgd settings` prints"
