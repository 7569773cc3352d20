"""Each alert fires when it should, alone, and none does while all is well: Prometheus' own test of rules."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.operations.prometheus import ALERTS, program

MINUTES = 120
AT = "100m"
I = 'instance="a:1",job="imgd"'  # noqa: E741  # As short as what it stands in.

# Series as they are on a quiet day: name and labels -> start, and step each minute.
QUIET: dict[str, tuple[float, float]] = {
    f"up{{{I}}}": (1, 0),
    f"process_start_time_seconds{{{I}}}": (-1000, 0),
    f"process_open_fds{{{I}}}": (100, 0),
    f"process_max_fds{{{I}}}": (20_000, 0),
    f"imgd_engine_ready{{{I}}}": (1, 0),
    f"imgd_engine_template_starts_total{{{I}}}": (1, 0.5),  # Roots come and go.
    f"imgd_engine_template_losses_total{{{I}}}": (1, 0),
    f"imgd_engine_crashed_total{{{I}}}": (3, 0),
    f"imgd_engine_timed_out_total{{{I}}}": (1, 0),
    f"imgd_engine_jobs_waiting{{{I}}}": (3, 0),
    f"imgd_engine_queue_max{{{I}}}": (200, 0),
    f"imgd_engine_reserved_bytes{{{I}}}": (1e8, 0),
    f"imgd_engine_leased_bytes{{{I}}}": (1e8, 0),
    f"imgd_engine_budget_bytes{{{I}}}": (5e8, 0),
    f"imgd_engine_workers_max{{{I}}}": (2, 0),
    f"imgd_desk_tiles_kept_bytes{{{I}}}": (6e7, 0),
    f'imgd_processes_pss_bytes{{{I},role="daemon"}}': (1e8, 0),
    f'imgd_processes_pss_bytes{{{I},role="worker"}}': (4e8, 0),
    f'imgd_requests_total{{{I},kind="tile",status="2xx"}}': (0, 6000),
    f'imgd_requests_total{{{I},kind="tile",status="5xx"}}': (0, 1),
    f'imgd_requests_total{{{I},kind="operation",status="5xx"}}': (0, 6000),
    f'imgd_busy_answers_total{{{I},reason="queue_full"}}': (0, 1),
    f'imgd_busy_answers_total{{{I},reason="rewritten"}}': (0, 60),
    f'imgd_first_byte_seconds_bucket{{{I},kind="picture",le="0.5"}}': (0, 55),
    f'imgd_first_byte_seconds_bucket{{{I},kind="picture",le="5.0"}}': (0, 60),
    f'imgd_first_byte_seconds_bucket{{{I},kind="picture",le="+Inf"}}': (0, 60),
    f'imgd_first_byte_seconds_count{{{I},kind="picture"}}': (0, 60),
    f'imgd_root_present{{{I},root="night"}}': (1, 0),
    f'imgd_root_unnoted{{{I},root="night"}}': (0, 0),
    f'imgd_root_overflows_total{{{I},root="night"}}': (1, 0),
    f"imgd_events_down{{{I}}}": (0, 0),
    f"imgd_http_accept_paused{{{I}}}": (0, 0),
    f"imgd_http_accept_paused_total{{{I}}}": (0, 0),
    f"imgd_http_connections_refused_total{{{I}}}": (5, 0),
    f"imgd_http_certificate_expiry_timestamp_seconds{{{I}}}": (90 * 86_400, 0),
    f"imgd_log_dropped_total{{{I}}}": (0, 0),
}
# What is otherwise -> the one alert that has to fire.
TROUBLES: list[tuple[str, dict[str, tuple[float, float]]]] = [
    ("ImgdDown", {"up{": (0, 0)}),
    ("ImgdNotReady", {"imgd_engine_ready": (0, 0)}),
    ("ImgdRestarts", {"process_start_time_seconds": (-1000, 600)}),
    ("ImgdTemplateRestarts", {"imgd_engine_template_losses_total": (1, 0.5)}),
    ("ImgdErrors", {'imgd_requests_total{instance="a:1",job="imgd",kind="tile",status="5xx"': (0, 300)}),
    ("ImgdBusy", {'imgd_busy_answers_total{instance="a:1",job="imgd",reason="queue_full"': (0, 12)}),
    ("ImgdSlowPictures", {'imgd_first_byte_seconds_bucket{instance="a:1",job="imgd",kind="picture",le="0.5"': (0, 10)}),
    ("ImgdQueueLong", {"imgd_engine_jobs_waiting": (150, 0)}),
    ("ImgdBudgetTight", {"imgd_engine_leased_bytes": (3.9e8, 0)}),
    ("ImgdWorkersCrash", {"imgd_engine_crashed_total": (3, 1)}),
    ("ImgdWorkersTimedOut", {"imgd_engine_timed_out_total": (1, 0.5)}),
    ("ImgdRootGone", {"imgd_root_present": (0, 0)}),
    ("ImgdRootBehind", {"imgd_root_unnoted": (40, 0)}),
    ("ImgdOverflows", {"imgd_root_overflows_total": (1, 0.2)}),
    ("ImgdEventsDown", {"imgd_events_down": (1, 0)}),
    ("ImgdDescriptors", {"process_open_fds": (19_000, 0)}),
    ("ImgdAcceptPaused", {"imgd_http_accept_paused_total": (0, 0.5)}),
    ("ImgdConnectionsRefused", {"imgd_http_connections_refused_total": (5, 30)}),
    ("ImgdMemory", {'imgd_processes_pss_bytes{instance="a:1",job="imgd",role="worker"': (5e9, 0)}),
    ("ImgdCertificateExpires", {"imgd_http_certificate_expiry": (10 * 86_400, 0)}),
    ("ImgdCertificateExpires ImgdCertificateExpired", {"imgd_http_certificate_expiry": (60, 0)}),
    ("ImgdLogDropped", {"imgd_log_dropped_total": (0, 3)}),
]  # fmt: skip
# As bad as may be for a while, or a little bad for ever, and nobody is woken.
BEARABLE: list[dict[str, tuple[float, float]]] = [
    {},
    {"imgd_http_certificate_expiry": (0, 0)},  # There is none.
    {'imgd_requests_total{instance="a:1",job="imgd",kind="tile",status="5xx"': (0, 30)},  # Half a per cent.
    {"imgd_engine_crashed_total": (3, 0.1)},
    {'imgd_busy_answers_total{instance="a:1",job="imgd",reason="rewritten"': (0, 600)},
]


def series(otherwise: dict[str, tuple[float, float]], instance: str) -> list[dict[str, str]]:
    """Write series of one daemon as promtool takes them."""
    found, used = [], set()
    for name, quiet in QUIET.items():
        beginning = next((each for each in otherwise if name.startswith(each)), "")
        used.add(beginning)
        start, step = otherwise.get(beginning, quiet)
        found.append({"series": name.replace("a:1", instance), "values": f"{start:g}{step:+g}x{MINUTES}"})
    assert used - {""} == otherwise.keys(), "a trouble of no series"
    return found


def test_rules_are_rules() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(ALERTS)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_every_alert_says_what_to_do_and_has_its_trouble_here() -> None:
    text = ALERTS.read_text()
    names = re.findall(r"- alert: (\w+)", text)
    assert len(set(names)) == len(names) == text.count("action:") == text.count("summary:") == text.count("severity:")
    assert set(names) == {name for names, _ in TROUBLES for name in names.split()}


def test_alerts_fire_when_they_should_and_else_not(tmp_path: Path) -> None:
    inputs: list[dict[str, str]] = []
    samples: list[dict[str, object]] = []
    for number, (names, otherwise) in enumerate([*TROUBLES, *(("", each) for each in BEARABLE)]):
        inputs += series(otherwise, f"{number}:1")  # A daemon for each trouble.
        for name in names.split():
            samples.append({"labels": f'{{alertname="{name}",instance="{number}:1"}}', "value": 1})
    expression = 'count by (alertname, instance) (ALERTS{alertstate="firing"})'
    asked = {"expr": expression, "eval_time": AT, "exp_samples": samples}
    tests = [{"interval": "1m", "input_series": inputs, "promql_expr_test": [asked]}]
    path = tmp_path / "alerts_test.yml"
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    command = [program("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("name", re.findall(r"- alert: (\w+)", ALERTS.read_text()))
def test_every_alert_is_told_of_in_the_docs(name: str) -> None:
    assert f"`{name}`" in (ALERTS.parent.parent / "operations.md").read_text()
