"""The runs of all runners: when each begins, to whom it is told, and how it ends."""

from typing import Any, Final, Literal

from imgd.core.sessions.asking import query_of, ref, with_frame
from imgd.core.sessions.events import (
    Accepted,
    Arrived,
    Begin,
    Command,
    Dropped,
    Encoded,
    Follow,
    Forget,
    Found,
    NotFollowed,
    RunEnded,
    RunnerId,
    Say,
    Sent,
    SessionName,
    Severity,
    Show,
    Shown,
    Stepped,
    Stop,
    Unfollow,
    Write,
)
from imgd.core.sessions.figures import Totals
from imgd.core.sessions.runner import ENTRY_MAX, Holder, Runner

Why = Literal["superseded", "closed", "ended", "disconnected"]
NUMBER_MAX: Final = 2**32 - 1  # As the header of pictures has it.
NOTES_MAX: Final = 20  # Of one finding; more say the same.
WARNED_MAX: Final = 100  # Of one frame; each is told once, however often the frame is run.
_QUIET_STEPS: Final = ("tiles",)  # Their progress is the tiles that come.


class Runs:
    """Know all runners; begin, cancel and tell of their runs. Orders are put into `commands`, in order.

    Invariant: a run that was begun is running, or counted once as completed, failed or cancelled.
    """

    def __init__(self, set_rest_s: float, totals: Totals) -> None:
        self._set_rest_s = set_rest_s
        self._totals = totals
        self._numbers = 0
        self.runners: dict[RunnerId, Runner] = {}
        self.dues: dict[RunnerId, float] = {}
        self.commands: list[Command] = []

    def change_rest(self, set_rest_s: float) -> None:
        """Let so much time be between two runs from now on."""
        self._set_rest_s = set_rest_s

    def next_number(self) -> int:
        """Give the number of a new runner."""
        self._numbers += 1
        assert self._numbers <= NUMBER_MAX
        return self._numbers

    def check(self) -> None:
        """Assert the invariants of all runners."""
        for id, runner in self.runners.items():
            assert runner.id == id
            runner.check()
        assert self._totals.runs == sum(runner.running for runner in self.runners.values())
        assert self.dues.keys() == {id for id, runner in self.runners.items() if runner.due}

    # Who holds it

    def add(self, runner: Runner) -> None:
        """Know a new runner, which a session is about to hold."""
        assert runner.id not in self.runners, "a runner's id is fresh"
        self.runners[runner.id] = runner

    def hold(self, runner: Runner, session: SessionName, at_s: float) -> None:
        """Let a session hold a runner; one that slept because nobody did goes on."""
        slept = not runner.holders
        runner.parked.pop(session, None)
        runner.holders[session] = Holder(behind=runner.running)
        if slept and runner.follow is not None:
            runner.refollowed = True
            self.commands.append(Follow(runner.id, runner.follow, runner.owner))
        if slept and runner.turn and not runner.paused:
            self.want(runner, at_s)

    def let_go(self, runner: Runner, session: SessionName, at_s: float, *, parks: bool = False) -> None:
        """A session does not hold a runner any more, or not before it comes back; without sessions the runner ends."""
        was_held = session in runner.holders
        runner.holders.pop(session, None)
        runner.parked.pop(session, None)
        if parks:
            runner.parked[session] = None
        if was_held and not runner.holders:
            self._rest(runner)
        elif was_held:
            self._go_on(runner, at_s)
        if not runner.holders and not runner.parked:
            del self.runners[runner.id]

    def end(self, runner: Runner, why: Why) -> None:
        """End a runner for all who hold it."""
        if runner.holders:
            self.cancel(runner, why)
            self._rest(runner)
        del self.runners[runner.id]

    def _rest(self, runner: Runner) -> None:
        """Stop all that is done for a runner."""
        self.cancel(runner, "disconnected")
        self._settle(runner)
        if runner.working:
            runner.working = False
            self.commands.append(Stop(runner.id))
        if runner.follow is not None:
            self.commands.append(Unfollow(runner.id))

    # When it runs

    def want(self, runner: Runner, at_s: float) -> None:
        """Run a runner's newest state as soon as may be; what is running then is superseded.

        Not before: who changes a view without a pause would see nothing until it rests.
        """
        if not runner.view.frame and runner.pending_frame is not None:
            self.jump(runner)
        if not runner.view.frame:
            return
        if at_s >= runner.begun_s + self._set_rest_s:
            self._begin(runner, at_s)
        else:
            runner.due = True
            self.dues[runner.id] = runner.begun_s + self._set_rest_s

    def want_unless_paused(self, runner: Runner, at_s: float) -> None:
        """Do as `want`, or remember that there is something new."""
        if runner.paused:
            runner.pending = True
        else:
            self.want(runner, at_s)

    def step(self, runner: Runner, at_s: float) -> None:
        """Run what is pending, and be paused."""
        runner.paused = True
        if runner.pending_frame is not None:
            self.jump(runner)
            self.want(runner, at_s)
        elif runner.pending:
            self.want(runner, at_s)

    def jump(self, runner: Runner) -> None:
        """Have the pending frame be what is shown."""
        assert runner.pending_frame is not None
        runner.view, runner.pending_frame = with_frame(runner.view, runner.pending_frame), None
        self._tell_following(runner)

    def play(self, runner: Runner, at_s: float) -> None:
        """Jump to what is pending; a frame waits until the one before it has been sent."""
        runner.paused = False
        if runner.pending:
            self.want(runner, at_s)
        self._go_on(runner, at_s)

    def pause(self, runner: Runner) -> None:
        """Let the running one finish; one that was to begin waits."""
        runner.paused = True
        if runner.due:
            self._settle(runner)
            runner.pending = True

    def tick(self, at_s: float) -> None:
        """Begin what has rested for long enough."""
        for id in [id for id, due_s in self.dues.items() if due_s <= at_s]:
            self._begin(self.runners[id], at_s)

    def cancel(self, runner: Runner, why: Why) -> None:
        """End the run that is under way, for who holds the runner; nothing of it is told after that."""
        if not runner.running:
            return
        runner.running = False
        self._totals.runs_cancelled_total += 1
        if why == "superseded":
            runner.superseded += 1
        for session in runner.holders:
            self.commands.append(Forget(session, runner.id, runner.turn))
        self._tell(runner, {"op": "cancelled", "why": why})

    def _settle(self, runner: Runner) -> None:
        runner.due = False
        self.dues.pop(runner.id, None)

    def _begin(self, runner: Runner, at_s: float) -> None:
        self._settle(runner)
        self.cancel(runner, "superseded")
        if runner.pending_frame is not None and not runner.paused:
            self.jump(runner)
        for session, holder in runner.holders.items():
            if holder.behind:
                self.commands.append(Forget(session, runner.id, runner.turn))
            holder.behind, holder.lost = True, False
        runner.turn += 1
        runner.pending = False
        runner.running = runner.working = True
        runner.begun_s = at_s
        if runner.begun_look is not None and runner.begun_look.frame != runner.view.frame:
            runner.warned.clear()
        runner.run, runner.computed = "", 0
        runner.begun_view, runner.begun_look = query_of(runner.view), runner.look
        self._totals.runs_begun_total += 1
        wanted, have = runner.wanted(), runner.had_by_all()
        first = next(iter(runner.holders))
        self.commands.append(Begin(runner.id, runner.turn, first, runner.owner, wanted, have, runner.results))

    def _go_on(self, runner: Runner, at_s: float) -> None:
        """Begin what waited for the newest run, if that is over for all."""
        if runner.under_way or runner.due or runner.paused:
            return
        if runner.pending_frame is not None:
            self._begin(runner, at_s)

    # What is told of it

    def accepted(self, event: Accepted) -> None:
        """The run has found its frame."""
        if (runner := self._running(event.runner, event.turn)) is not None:
            runner.run = event.run
            told = {"op": "accepted", "run": event.run, "frame": ref(event.frame), "view": runner.begun_view}
            self._tell(runner, {**told, "version": event.version})

    def stepped(self, event: Stepped) -> None:
        """A step is further."""
        runner, news = self._running(event.runner, event.turn), event.news
        if runner is None or (news.state == "progress" and news.step in _QUIET_STEPS):
            return
        ms = round(news.elapsed_ms, 3)
        told = {"op": "step", "number": news.number, "step": news.step, "state": news.state, "cached": news.cached}
        self._tell(runner, {**told, "joined": news.joined, "bytes": news.used_bytes, "ms": ms})
        if news.state == "end" and not (news.cached or news.joined):
            runner.computed += 1
            self._note(runner, "info", f"{news.step}: {ms:g} ms, {news.used_bytes} bytes")

    def found(self, event: Found) -> None:
        """Figures are known."""
        if (runner := self._running(event.runner, event.turn)) is None:
            return
        for note in (each[: ENTRY_MAX + 1] for each in event.notes[:NOTES_MAX]):
            if note not in runner.warned and len(runner.warned) < WARNED_MAX:
                runner.warned[note] = None
                self._note(runner, "warning", note)
        if event.figures is not None and event.figures.what in runner.results:
            self._tell(runner, {"op": event.figures.what, "document": event.figures.document})

    def encoded(self, event: Encoded) -> None:
        """A picture or a tile is ready: it goes to those who do not have it."""
        if (runner := self._running(event.runner, event.turn)) is None:
            return
        for session, holder in runner.holders.items():
            if event.picture.level < 0 or event.picture.etag not in holder.have:
                self.commands.append(Show(session, runner.id, runner.number, runner.turn, event.picture))

    def ended(self, event: RunEnded) -> None:
        """A run has ended by itself."""
        newest = self.runners.get(event.runner)
        if newest is None or newest.turn != event.turn or not newest.working:
            return
        newest.working = False
        if (runner := self._running(event.runner, event.turn)) is None:
            return
        runner.running = False
        if runner.superseded:
            self._note(runner, "info", f"superseded before this run: {runner.superseded}")
            runner.superseded = 0
        if event.problem is None:
            self._totals.runs_completed_total += 1
            if not runner.computed:
                self._note(runner, "info", "completed, nothing had to be computed")
            self._tell(runner, {"op": "completed", "result": event.document})
            return
        self._totals.runs_failed_total += 1
        self._count_budget(event.budget)
        status, title, text = event.problem
        self._note(runner, "error", f"failed: {status} {title}: {text}")
        self._tell(runner, {"op": "failed", "code": status, "title": title, "text": text})

    def _count_budget(self, budget: str) -> None:
        match budget:
            case "time":
                self._totals.over_time_total += 1
            case "steps":
                self._totals.over_steps_total += 1
            case "bytes":
                self._totals.over_bytes_total += 1

    # What becomes of it on the way

    def sent(self, event: Sent) -> None:
        """Tiles have left: that client has them."""
        runner, holder = self._held(event.runner, event.session)
        if runner is None or holder is None:
            return
        holder.got(event.etags)
        if event.turn == runner.turn:
            holder.look = runner.begun_look

    def dropped(self, event: Dropped) -> None:
        """Tiles were dropped for newer ones."""
        self._totals.tiles_dropped_total += len(event.tiles)
        runner, holder = self._held(event.runner, event.session)
        if runner is not None and holder is not None and event.turn == runner.turn:
            holder.lost = True

    def shown(self, event: Shown) -> None:
        """A client has been sent all of a turn. What it has lost of it is made again, now that there is room."""
        runner, holder = self._held(event.runner, event.session)
        if runner is None or holder is None or event.turn != runner.turn or runner.running or not holder.behind:
            return
        holder.behind = False
        if holder.lost and not runner.due:
            holder.lost = False
            self.want_unless_paused(runner, event.at_s)
        self._go_on(runner, event.at_s)

    # What a directory does

    def arrived(self, event: Arrived) -> None:
        """A followed directory has a newer frame: it is run, or kept in place of the one that waited."""
        runner = self.runners.get(event.runner)
        if runner is None or runner.follow is None or not runner.holders:
            return
        again, runner.refollowed = runner.refollowed, False
        if again and event.frame == (runner.pending_frame or runner.view.frame):
            return
        waited = runner.pending_frame is not None
        runner.pending_frame = event.frame
        if waited:
            runner.skipped += 1
            self._totals.frames_skipped_total += 1
        if not (runner.paused or runner.under_way or runner.due):
            self._begin(runner, event.at_s)
        elif not (waited and runner.under_way):  # Else it is told with the next run: not of each, to a slow client.
            self._tell_following(runner)

    def not_followed(self, event: NotFollowed) -> None:
        """A followed directory cannot be read."""
        if (runner := self.runners.get(event.runner)) is not None and runner.follow is not None:
            self._note(runner, "warning", f"{ref(runner.follow)}: {event.text}")

    def _running(self, id: RunnerId, turn: int) -> Runner | None:
        """Find the runner of which this is the run under way."""
        runner = self.runners.get(id)
        return runner if runner is not None and runner.running and runner.turn == turn else None

    def _held(self, id: RunnerId, session: SessionName) -> tuple[Runner | None, Holder | None]:
        runner = self.runners.get(id)
        return runner, None if runner is None else runner.holders.get(session)

    def _tell(self, runner: Runner, message: dict[str, Any]) -> None:
        whole = {"op": message["op"], "runner": runner.id, "turn": runner.turn, **message}
        for session in runner.holders:
            self.commands.append(Say(session, whole, None, runner.id, runner.turn))

    def _tell_following(self, runner: Runner) -> None:
        message = {
            "op": "following",
            "runner": runner.id,
            "frame": ref(runner.view.frame) if runner.view.frame else None,
            "pending": None if runner.pending_frame is None else ref(runner.pending_frame),
            "skipped": runner.skipped,
        }
        for session in runner.holders:
            self.commands.append(Say(session, message, None, runner.id))

    def _note(self, runner: Runner, severity: Severity, text: str) -> None:
        entry = runner.note(runner.turn, severity, text)
        self.commands.append(Write(severity, entry.text, runner.number, runner.run))
