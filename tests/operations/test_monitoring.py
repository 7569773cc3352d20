"""The metrics, the dashboard and the rules belong together: every expression says something of a real daemon."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from imgd.web.metric_words import WORDS
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.fronts.place import make_certificate
from tests.operations.prometheus import ALERTS, DASHBOARD, program, running_prometheus
from tests.operations.promql import metrics_of
from tests.web.sitting import Sitter

MAY_BE_EMPTY = re.compile(r"> 0$|> 0\) \* 1000$")  # Expressions that show only what there is.


def panels() -> list[dict[str, Any]]:
    """All panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """All expressions of the dashboard, as Grafana would ask them."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*")


def rule_expressions() -> list[str]:
    """All expressions of the alert rules: YAML of a plain shape, so that it takes no library to read them."""
    found, lines = [], iter(ALERTS.read_text().splitlines())
    for line in lines:
        if line.strip().startswith("expr:"):
            rest = line.split("expr:", 1)[1].strip()
            if rest == "|":
                rest = ""
                for more in lines:
                    if not more.startswith(" " * 10):
                        break
                    rest += f" {more.strip()}"
            found.append(rest)
    return found


async def be_used(daemon: RunningDaemon) -> None:
    """Do a little of everything."""
    async with daemon.websocket("/live") as socket:
        sitter = Sitter(socket)
        await sitter.ask("hello")
        await sitter.open("frame=night/a.fits")
        for target in (
            "/img?frame=night/a.fits&size=200,", "/img?frame=night/none.fits", "/stats?frame=night/a.fits",
            "/frames?dir=night",
            "/tile?frame=night/a.fits&level=0&x=0&y=0", "/runs?frame=night/a.fits", "/catalogue?search=", "/",
        ):  # fmt: skip
            await daemon.get(target)
        document = json.loads((await daemon.get("/tiles/night/a.fits/tiles.json")).body)
        tile = document["template"].replace("{z}", "0").replace("{x}", "0").replace("{y}", "0")
        for _ in range(2):  # The second one is answered by its address.
            assert (await daemon.get(tile)).status == 200


def names_in(text: str) -> set[str]:
    """Names of all series in a text of metrics."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


async def test_every_metric_has_words_and_a_name_as_prometheus_wants_it(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    make.write(tmp_path / "night/a.fits", make.image_hdu(make.star_field(300, 400)))
    async with running_daemon(tmp_path / "night", certificate=make_certificate(tmp_path)) as daemon:
        await be_used(daemon)
        text = (await daemon.get("/metrics")).body.decode()
    families = [each for each in text_string_to_metric_families(text) if each.name.startswith("imgd_")]
    assert len(families) > 100
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.documentation == WORDS.get(name), f"{name} has no words of its own"
    kept = [
        s for f in families for s in f.samples if s.name == "imgd_requests_total" and s.labels["kind"] == "tile_kept"
    ]
    assert [sample.value for sample in kept] == [1.0]
    values = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    assert values["imgd_http_certificate_expiry_timestamp_seconds"] > values["process_start_time_seconds"]
    assert values["imgd_http_sent_bytes_total"] > 10_000 and values["imgd_log_lines_total"] > 0
    command = [program("promtool"), "check", "metrics"]
    checked = await trio.run_process(
        command, stdin=text.encode(), capture_stdout=True, capture_stderr=True, check=False
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()


def test_the_words_are_of_metrics() -> None:
    assert all(re.fullmatch(r"imgd_[a-z_]+", name) and text.endswith(".") for name, text in WORDS.items())


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    found = panels()
    assert len(found) > 30
    for panel in found:
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 20 and defaults["unit"], panel["title"]
        assert panel["targets"] and all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(set(ids)) == len(ids)


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (kind) (rate(a_total{b="c d{", e=~"f"}[5m])) > 0', {"a_total"}),
        ("a / on (instance) group_left (x) b offset 15m", {"a", "b"}),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[10m]))) and b unless c", {"a_bucket", "b", "c"}),
        ("up == bool 0 or vector(0)", {"up"}),
    ],
)
def test_names_are_read_out_of_expressions(expression: str, names: set[str]) -> None:
    assert metrics_of(expression) == names


async def test_every_expression_says_something_of_a_real_daemon(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    make.write(tmp_path / "night/a.fits", make.image_hdu(make.star_field(300, 400)))
    asked, rules = list(expressions()), rule_expressions()
    assert len(asked) > 60 and len(rules) == ALERTS.read_text().count("- alert:") > 15
    async with running_daemon(tmp_path / "night") as daemon:
        await be_used(daemon)
        known = names_in((await daemon.get("/metrics")).body.decode()) | {"up"}
        for expression in asked + rules:
            names = metrics_of(expression)
            assert names and names <= known, f"{names - known} in {expression}"
        async with running_prometheus(tmp_path, f"{daemon.host}:{daemon.port}") as prometheus:
            await prometheus.until('imgd_requests_total{kind="picture",status="2xx"}', 1)
            await be_used(daemon)
            await prometheus.until('increase(imgd_requests_total{kind="picture",status="2xx"}[10s])', 0.01)
            for expression in asked:
                found = await prometheus.query(expression)
                assert found or MAY_BE_EMPTY.search(expression), f"nothing comes of {expression}"
            with trio.fail_after(30):
                while True:
                    groups = (await prometheus.get("/api/v1/rules"))["data"]["groups"]
                    told = [rule for group in groups for rule in group["rules"]]
                    if told and all(rule["health"] != "unknown" for rule in told):
                        break
                    await trio.sleep(0.2)
            assert [rule["name"] for rule in told if rule["health"] != "ok"] == []
            assert [rule["name"] for rule in told if rule["state"] == "firing"] == []
