"""Metrics: every number that an owner tells, and nothing else."""

from dataclasses import dataclass

from imgd.web.metrics import metrics_text, registry_of


@dataclass(frozen=True)
class Inner:
    things: int


@dataclass(frozen=True)
class Figures:
    open: int
    given_total: int
    inner: Inner
    words: str = "not a number"


@dataclass(frozen=True)
class OfRoot:
    root: str
    frames: int
    events_total: int


def lines(owner: object) -> list[str]:
    """What is told of one owner, without the comments."""
    text = metrics_text(registry_of({"part": lambda: owner})).decode()
    return sorted(line for line in text.splitlines() if not line.startswith("#") and "_created" not in line)


def test_numbers_are_told_and_words_are_not() -> None:
    told = lines(Figures(3, 7, Inner(5)))
    assert told == ["imgd_part_given_total 7.0", "imgd_part_inner_things 5.0", "imgd_part_open 3.0"]


def test_several_records_are_told_apart_by_their_texts() -> None:
    told = lines([OfRoot("night", 3, 9), OfRoot('a "b"', 4, 1)])
    assert told == [
        'imgd_part_events_total{root="a \\"b\\""} 1.0',
        'imgd_part_events_total{root="night"} 9.0',
        'imgd_part_frames{root="a \\"b\\""} 4.0',
        'imgd_part_frames{root="night"} 3.0',
    ]


def test_no_record_is_no_metric() -> None:
    assert lines([]) == []
