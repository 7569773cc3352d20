"""Progress: how far something has come, of each subject the latest only. It has no id and is stored nowhere. Pure."""

from collections.abc import Sequence
from typing import Final, get_args

import msgspec

from imgd.events.event import Draft, EphemeralType, body_of

SUBJECTS_MAX: Final = 256  # A subject is a root's scan, and there are fewer roots.
_TYPES: Final = frozenset(get_args(EphemeralType))


class Progress(msgspec.Struct, frozen=True):
    """What was told last of one subject.

    number  counts what was told, of all subjects: newer is higher.
    body    the draft as JSON: encoded once, whoever gets it.
    """

    number: int
    draft: Draft
    body: bytes

    @property
    def over(self) -> bool:
        """Tell whether nothing is going on any more: its detail has `done`, whether that is true or false."""
        return "done" in self.draft.detail


class Latest:
    """The latest progress of each subject, which is a type and a root.

    What is over stays until the subject begins anew, so that a slow client hears of the end too. Where there are too
    many subjects one is forgotten: the one that has been over for longest, else the one told of longest ago.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], Progress] = {}  # In the order of their numbers.
        self.last = 0

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, draft: Draft) -> None:
        """Take the place of what was told before of the same subject.

        Raises  ValueError for a type whose events are stored.
        """
        if draft.type not in _TYPES:
            raise ValueError(f"{draft.type!r} is no type of progress")
        subject = (draft.type, draft.root)
        self._latest.pop(subject, None)
        if len(self._latest) >= SUBJECTS_MAX:
            over = (each for each, progress in self._latest.items() if progress.over)
            del self._latest[next(over, next(iter(self._latest)))]
        self.last += 1
        self._latest[subject] = Progress(self.last, draft, body_of(draft))

    def after(self, number: int) -> Sequence[Progress]:
        """Tell what is newer than this number, oldest first."""
        newer: list[Progress] = []
        for each in reversed(self._latest.values()):
            if each.number <= number:
                break
            newer.append(each)
        return newer[::-1]
