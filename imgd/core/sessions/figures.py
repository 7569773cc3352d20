"""What is told of sessions and runners to those who look after the daemon: numbers, and who is there. No secrets."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """Figures of now, and totals since the start. Runs that nobody waited for any more count as cancelled."""

    sessions: int
    sessions_parked: int
    runners: int
    runs: int
    sessions_total: int
    resumed_total: int
    runners_total: int
    runs_begun_total: int
    runs_completed_total: int
    runs_failed_total: int
    runs_cancelled_total: int
    sets_total: int
    frames_skipped_total: int
    tiles_dropped_total: int
    refused_sessions_total: int
    refused_runners_total: int
    over_time_total: int
    over_steps_total: int
    over_bytes_total: int
    over_tiles_total: int


@dataclass(slots=True)
class Totals:
    """The same totals while they grow."""

    sessions_total: int = 0
    resumed_total: int = 0
    runners_total: int = 0
    runs_begun_total: int = 0
    runs_completed_total: int = 0
    runs_failed_total: int = 0
    runs_cancelled_total: int = 0
    sets_total: int = 0
    frames_skipped_total: int = 0
    tiles_dropped_total: int = 0
    refused_sessions_total: int = 0
    refused_runners_total: int = 0
    over_time_total: int = 0
    over_steps_total: int = 0
    over_bytes_total: int = 0
    over_tiles_total: int = 0

    @property
    def runs(self) -> int:
        """Tell how many runs have begun and not ended."""
        return self.runs_begun_total - self.runs_completed_total - self.runs_failed_total - self.runs_cancelled_total


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session. runners: their numbers. since_s: by the clock of the events."""

    name: str
    owner: str
    since_s: float
    connected: bool
    runners: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunnerRecord:
    """One runner. view, follow: as addresses have them. sessions: those that hold it, parked ones as well."""

    number: int
    owner: str
    since_s: float
    sessions: tuple[str, ...]
    view: str
    follow: str | None
    paused: bool
    pending: bool
    running: bool
    turn: int
    run: str
    skipped: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everybody who is there, in the order in which they came."""

    sessions: tuple[SessionRecord, ...]
    runners: tuple[RunnerRecord, ...]
