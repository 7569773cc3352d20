"""Links: what they lead to changes with no word about them, and is told all the same."""

import os
from pathlib import Path

import pytest

from imgd.watching import linking
from tests.watching.rig import QUIET_S, frame_bytes, watching
from tests.watching.test_root import folder

__all__ = ["folder"]


@pytest.mark.parametrize("scanned", [True, False])
async def test_what_a_link_leads_to_comes_changes_and_goes(
    folder: Path, scanned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "LINKS_S", 0.05)
    link, target = folder / "root/soft.fits", folder / "root/a.part"
    if scanned:
        link.symlink_to(target.name)
    async with watching(folder) as night:
        if not scanned:
            link.symlink_to(target.name)
        await night.tells(quiet_s=QUIET_S)
        night.write(target.name)
        words = ["frame.arrived soft.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        night.write(target.name, frame_bytes(1200))
        words += ["frame.rewritten soft.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        target.unlink()
        words += ["frame.gone soft.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        night.write(target.name)
        words += ["frame.arrived soft.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
        link.unlink()
        await night.tells(*words, "frame.gone soft.fits", quiet_s=QUIET_S)


async def test_a_file_written_through_another_name_of_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "LINKS_S", 0.05)
    outside = folder / "outside"
    outside.write_bytes(frame_bytes())
    os.link(outside, folder / "root/before.fits")
    async with watching(folder) as night:
        os.link(outside, night.directory / "hard.fits")
        await night.tells("frame.arrived hard.fits", quiet_s=QUIET_S)
        outside.write_bytes(frame_bytes(1200))
        words = ["frame.arrived hard.fits", "frame.rewritten hard.fits", "frame.rewritten before.fits"]
        await night.tells(*words, quiet_s=QUIET_S)
