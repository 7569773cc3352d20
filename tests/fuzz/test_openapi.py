"""What `/openapi.json` describes is asked for, well and badly: each answer is one that it describes, none is a 500."""

import contextlib
import json
import urllib.request
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import numpy as np
import requests
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.core.profile import LONG
from tests.daemon.figures import until_free
from tests.daemon.rig import running_daemon
from tests.frames import make

EXAMPLES: Final = {GenerationMode.POSITIVE: 400 if LONG else 9, GenerationMode.NEGATIVE: 200 if LONG else 4}
CHOSEN_MAX: Final = (
    3  # Parameters beside those that are needed: with more of them nearly all requests contradict themselves.
)
SHOWN: Final = 10
LIMIT_S: Final = 60.0  # For one answer: a bound against hanging.
CHECKS: Final = [
    status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance,
]  # fmt: skip
FRAMES: Final = ("f/a.fits", "f/cube.fits", "f/broken.fits", "f/none.fits")
IN_PATHS: Final = FRAMES[:3:2]
SPARED: Final = ("/live",)  # The websocket has a grammar of its own: see test_websocket.py.
ALLOWED: Final = frozenset(
    (501, 503, 504)
)  # Of all that is 500 and more: what is not made, and what is told to come again.


def write_frames(folder: Path) -> None:
    sky = make.star_field(300, 400)
    make.write(folder / "a.fits", make.image_hdu(sky, cards=[make.card("OBJECT", "M 51")]))
    make.write(folder / "cube.fits", make.image_hdu(np.stack([sky[:90, :80]] * 3).astype("f4")))
    make.write(folder / "broken.fits", make.hostile()["overflow"])


def described(base_url: str) -> dict[str, Any]:
    """Read the description, and say what only this daemon knows: the names of its frames."""
    with urllib.request.urlopen(f"{base_url}/openapi.json", timeout=LIMIT_S) as answer:
        document: dict[str, Any] = json.load(answer)
    paths: dict[str, Any] = {}
    for path, item in document["paths"].items():
        if path in SPARED:
            continue
        # A frame's slashes stand in a path as they are, which no parameter of OpenAPI can say.
        for frame in IN_PATHS if "{frame}" in path else ("",):
            paths[path.replace("{frame}", frame)] = with_frames(deepcopy(item), is_in_path=bool(frame))
    return {**document, "paths": paths}


def with_frames(item: dict[str, Any], *, is_in_path: bool) -> dict[str, Any]:
    for operation in item.values():
        parameters = operation.get("parameters", [])
        if is_in_path:
            parameters = operation["parameters"] = [each for each in parameters if each["name"] != "frame"]
        for parameter in parameters:
            match parameter["name"]:
                case "frame":
                    parameter["schema"] = {"enum": [*FRAMES]}
                case "identifier":
                    parameter["schema"] = {"enum": [*FRAMES, "f/a.fits;stretch=log"]}
                case "wait":
                    parameter["schema"]["maximum"] = 1  # What waits a minute only takes a minute.
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if body:
            as_object, as_text = body["schema"]["properties"]["view"]["anyOf"]
            as_object["properties"]["frame"] = {"enum": [*FRAMES]}
            as_text["enum"] = [f"frame={frame}&size=50," for frame in FRAMES]
    return item


def thin_out(case: Any, data: st.DataObject) -> None:
    """Leave of a good request what is needed, and a little more."""
    needed = {each["name"] for each in case.operation.definition.raw.get("parameters", ()) if each.get("required")}
    needed.add("frame")
    more = sorted(set(case.query or ()) - needed)
    chosen = {*data.draw(st.lists(st.sampled_from(more), max_size=CHOSEN_MAX)), *needed} if more else needed
    case.query = {name: value for name, value in (case.query or {}).items() if name in chosen}
    if isinstance(case.body, dict) and isinstance(case.body.get("view"), dict):
        view = case.body["view"]
        if data.draw(st.booleans()):
            case.body = {name: value for name, value in case.body.items() if name != "viewport"}
        chosen = {"frame", *data.draw(st.lists(st.sampled_from(sorted(view)), max_size=CHOSEN_MAX))}
        case.body = {**case.body, "view": {name: value for name, value in view.items() if name in chosen}}


class Asker:
    """Asks for everything; `answers` counts what came, by operation and status."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []

    def ask_all(self) -> None:
        """Ask for all that is described."""
        with requests.Session() as session:
            for found in schemathesis.openapi.from_dict(described(self.base_url)).get_all_operations():
                for mode in EXAMPLES:
                    self.ask(found.ok(), mode, session)  # type: ignore[union-attr]

    def ask(self, operation: Any, mode: GenerationMode, session: requests.Session) -> None:
        """Ask for one thing in many ways, well or badly; what is not as described is kept, once of each kind."""

        @settings(
            max_examples=EXAMPLES[mode], deadline=None, derandomize=not LONG, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        @given(operation.as_strategy(generation_mode=mode), st.data())
        def one(case: Any, data: st.DataObject) -> None:
            if mode is GenerationMode.POSITIVE:
                thin_out(case, data)
            answer = case.call(base_url=self.base_url, session=session, timeout=LIMIT_S)
            self.answers[case.operation.label, answer.status_code] += 1
            asked = f"{answer.request.method} {answer.request.url} {answer.request.body!r}"
            if answer.status_code >= 500 and answer.status_code not in ALLOWED:
                self.wrong.append(f"{asked}: {answer.status_code} {answer.text}")
            try:
                case.validate_response(answer, checks=CHECKS)
            except (Failure, FailureGroup) as failure:
                self.wrong.append(f"{asked}: {answer.status_code} {failure}")

        with contextlib.suppress(Unsatisfiable):  # It takes nothing, or any text at all: nothing is bad.
            one()


async def test_all_that_is_described_is_answered_as_described(tmp_path: Path) -> None:
    write_frames(tmp_path)
    async with running_daemon(f"f={tmp_path}", workers_max=2, budget_bytes="64MiB", step_limit_s=20) as daemon:
        asker = Asker(daemon.base_url)
        await trio.to_thread.run_sync(asker.ask_all)
        await until_free(daemon)
        assert "Traceback" not in daemon.log()
    assert not asker.wrong, "\n\n".join(asker.wrong[:SHOWN])
    answers = asker.answers
    statuses = Counter(status for (_, status), count in answers.items() for _ in range(count))
    assert statuses[200] > 0.2 * answers.total(), f"nearly all was refused: this proves little: {answers}"
    assert statuses[400] > 0.1 * answers.total(), f"nearly all was good: this proves little: {answers}"
    made = {label for label, status in answers if status in (200, 303)}
    assert {"GET /img", "GET /tile", "GET /stats", "POST /runs", "GET /frame/f/a.fits"} <= made, made
