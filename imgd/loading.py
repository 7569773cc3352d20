"""Where settings come from: defaults, a TOML file, variables, flags; each is checked where it is read."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from imgd.config import Settings, check_range, doc_of
from imgd.errors import ConfigError

_ENVIRONMENT_ELSEWHERE: Final = frozenset(
    {"IMGD_CONFIG", "IMGD_SOCKET", "IMGD_CGI"}
)  # The config file; what a CGI reads.

Given = Mapping[str, tuple[str, Any]]
"""Values as they were given: setting -> (where it came from, the value as text or as TOML had it)."""


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], config: str = "") -> Settings:
    """Make the settings: defaults, then the TOML file, then IMGD_* variables, then flags.

    flags  setting -> value as given (text, or list of texts).

    Raises  ConfigError: one line that names the setting, and where it came from.
    """
    given: dict[str, tuple[str, Any]] = {}
    path = config or environ.get("IMGD_CONFIG", "")
    if path:
        given.update({key: (path, value) for key, value in _read_toml(path).items()})
    for name, text in environ.items():
        if name.startswith("IMGD_") and name not in _ENVIRONMENT_ELSEWHERE:
            given[name.removeprefix("IMGD_").lower()] = (name, text)
    for key, value in flags.items():
        given[key] = ("command line", value)
    return _settle(given)


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"config: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} is not TOML: {error}") from error


def _settle(given: Given) -> Settings:
    known = {each.name: each for each in fields(Settings)}
    values: dict[str, Any] = {}
    for key, (where, raw) in given.items():
        if key not in known:
            raise ConfigError(f"{key} ({where}): there is no such setting")
        doc = doc_of(known[key])
        try:
            values[key] = doc.read(raw)
        except ValueError as error:
            raise ConfigError(f"{key} ({where}): must be {error}, not {_shown(raw)}") from error
        check_range(known[key], values[key], f" ({where})")
    return Settings(**values)


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 80 else text[:77] + "..."
