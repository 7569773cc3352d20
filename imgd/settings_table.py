"""README's table of all settings, and the flags that give them."""

from dataclasses import MISSING, Field, fields
from typing import Any

from imgd.config import Settings, doc_of
from imgd.setting_kinds import UNITS


def settings_table() -> str:
    """Write README's table of all settings, in Markdown."""
    lines = ["| Setting | Flag | Default | Unit | Reload | What it is for |", "|---|---|---|---|---|---|"]
    for each in fields(Settings):
        doc = doc_of(each)
        flag = ", ".join(f"`{name}`" for name in flags_of(each))
        zero = f" (0: {doc.zero})" if doc.zero else ""
        live = "yes" if doc.live else ""
        lines.append(f"| `{each.name}` | {flag} | {_default_text(each)} | {doc.unit} | {live} | {doc.reason}{zero} |")
    return "\n".join(lines) + "\n"


def flags_of(setting: "Field[Any]") -> tuple[str, ...]:
    """Tell the flags of `imgd serve` that give a setting; roots are given as plain arguments."""
    if setting.name == "roots":
        return ("DIR...",)
    return (*doc_of(setting).flags, "--" + setting.name.replace("_", "-"))


def _default_text(setting: "Field[Any]") -> str:
    doc = doc_of(setting)
    if doc.default_text:
        return doc.default_text
    assert setting.default is not MISSING, "a default that is computed needs words for the table"
    if isinstance(setting.default, tuple):
        return ", ".join(f"`{item}`" for item in setting.default)
    if doc.unit == "bytes":
        return f"`{_size_text(setting.default)}`"
    return f"`{setting.default:g}`" if isinstance(setting.default, float) else f"`{setting.default}`"


def _size_text(size_bytes: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)
