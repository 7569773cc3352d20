"""Ask a daemon of this machine who is there and how it does, or have it end some of it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from imgd.reaching import NotReached, Place, ask


@dataclass(frozen=True)
class Wish:
    """What is to be done: nothing but to show it, or to end one session, one runner, or all sessions."""

    place: Place
    as_json: bool = False
    session: str | None = None
    runner: int | None = None
    all: bool = False
    once: bool = False

    @property
    def shows(self) -> bool:
        """Tell whether nothing is to be ended."""
        return not self.all and self.session is None and self.runner is None


def answer_to(wish: Wish) -> dict[str, Any]:
    """Have it done.

    Raises  NotReached.
    """
    target = "/admin"
    if wish.all:
        target += "/sessions/end"
    elif wish.session is not None:
        target += f"/sessions/{quote(wish.session, safe='')}/end"
    elif wish.runner is not None:
        target += f"/runners/{wish.runner}/end"
    status, answer = ask(wish.place, target, "GET" if wish.shows else "POST")
    if status == 404 and wish.shows:
        raise NotReached("/admin is not answered: the daemon runs with `admin = off`, or it is no daemon of ours")
    if status != 200:
        raise NotReached(f"status {status}: {answer.get('detail') or answer.get('title') or 'no reason given'}")
    if not answer.keys() & {"ended", "sessions"}:
        raise NotReached("the answer is none that a daemon of ours gives")
    return answer
