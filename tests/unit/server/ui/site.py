"""A small workspace with something on every page, some of it hostile; and a browser without a screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from fastapi import FastAPI
from sklearn.ensemble import HistGradientBoostingClassifier

import whence as w
from tests.unit.server.loops import in_a_thread
from whence._base.arrow import TS
from whence.lake import Table
from whence.monitoring import Alert, Blame, Labels
from whence.monitoring.store import Rows, open_table
from whence.server.ui import not_found, router

START = datetime(2013, 4, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = "<script>alert('x')</script>\"&"
KEY = "B6/7?x=1&y=<b>"
ALERT = "01JALERT0000000000000000AA"
VIEWS = ("delays",)
SCHEDULE = pa.schema([("trip", pa.string()), ("carrier", pa.string()), ("at", TS), ("known_at", TS)])
ARRIVALS = pa.schema(
    [("trip", pa.string()), ("carrier", pa.string()), ("arr_at", TS), ("delay", pa.int64()), ("known_at", TS)]
)


def build(folder: Path, *, days: int = 4) -> w.Workspace:
    """A workspace with a whole journey in it."""
    ws = w.connect(folder)
    _feeds(ws, days)
    view = w.FeatureView(
        "delays",
        entity=w.Entity("carrier", join_keys=["carrier"]),
        source="arrivals",
        timestamp="arr_at",
        features=[w.mean("delay", over="1d"), w.count(over="7d")],
        owner="ops",
        description=f"How a carrier fares {HOSTILE}",
    )
    ws.apply(view)
    _learn(ws, view)
    _serve(ws, view)
    _watch(ws)
    return ws


def trip(i: int) -> str:
    return KEY if i == 7 else f"T-{i:04d}"


def _feeds(ws: w.Workspace, days: int) -> None:
    ws.lake.create("schedule", SCHEDULE, key=["trip"], known_at="known_at", description="what is planned")
    ws.lake.create(
        "arrivals",
        ARRIVALS,
        key=["trip"],
        event_time="arr_at",
        known_at="known_at",
        description=f"landed {HOSTILE}",
    )
    for day in range(days):
        ids = range(24 * day, 24 * day + 24)
        until = START + (day + 1) * DAY
        carriers = ["B6" if i % 2 else "AA" for i in ids]
        known = [START + day * DAY] * 24
        schedule = {
            "trip": [trip(i) for i in ids],
            "carrier": carriers,
            "at": [START + i * HOUR for i in ids],
        }
        ws.table("schedule").append(
            pa.table({**schedule, "known_at": known}, schema=SCHEDULE), watermark=until
        )
        at = [START + i * HOUR + HOUR / 2 for i in ids]
        landed = {
            "trip": [trip(i) for i in ids],
            "carrier": [HOSTILE if i == 3 else c for i, c in zip(ids, carriers, strict=True)],
            "arr_at": at,
            "delay": [None if i == 5 else (i * 7) % 50 for i in ids],
            "known_at": at,
        }
        ws.table("arrivals").append(pa.table(landed, schema=ARRIVALS), watermark=until)
    ws.validation.statistics("arrivals")
    ws.table("arrivals").hold(2, reason=f"kept {HOSTILE}")


def _learn(ws: w.Workspace, view: w.FeatureView) -> None:
    with ws.execution("build"):
        spine = ws.table("schedule").arrow(["trip", "carrier", "at"])
        ws.table("train.late").append(ws.features.point_in_time(spine, [view], at="at"))
    rng = np.random.default_rng(0)
    x = rng.random((40, 2)) * [50, 20]
    sample = pa.table({"delays__mean_delay_1d": [1.0], "delays__count_7d": pa.array([1], pa.int64())})
    for depth, auc in ((1, 0.7), (2, 0.8)):
        with ws.runs.start(f"fit {depth} {HOSTILE}", params={"depth": depth, "note": HOSTILE}) as run:
            run.log_input(ws.table("train.late").head())
            for step in range(3):
                run.log_metric("loss", 1.0 / (step + depth), step=step)
            run.log_metric("auc", auc)
            model = HistGradientBoostingClassifier(
                max_iter=3, min_samples_leaf=3, early_stopping=False, random_state=depth
            ).fit(x, x[:, 0] > 20 + depth)
            ws.models.register("late", model, sample=sample, metrics={"auc": auc}, tags={"by": HOSTILE})
        ws.models.set_alias("late", "champion", depth, reason=f"auc {auc} {HOSTILE}")
    ws.models.set_alias("late", "baseline", 1)


def _serve(ws: w.Workspace, view: w.FeatureView) -> None:
    where: dict[str, Any] = {"views": [view], "at": "at", "key": ["trip"]}
    deployment = ws.serving.deploy(
        "late", model="late@champion", table="schedule", into="late_scores", **where
    )
    with ws.serving.follow(deployment) as follower:
        follower.step()
    ws.serving.score("late@1", ws.table("schedule").head(), into="baseline_scores", **where)


def _watch(ws: w.Workspace) -> None:
    labels = Labels("arrivals", ("trip",), f"delay >= 30 /* {HOSTILE} */")
    ws.monitoring.watch("late", deployment="late", labels=labels, feeds=["arrivals"])
    rows = Rows()
    for day in range(10):
        since, until = START + day * DAY, START + (day + 1) * DAY
        at = {"table": "late_scores", "window": "day", "start": since, "end": until, "n": 24}
        rows.add("measure", "auc", value=0.8 - day / 100, model="late@2", **at)
        rows.add("measure", "ks", feature="delays__count_7d", value=day / 10, threshold=0.45, **at)
        rows.add("measure", "ks", feature="score", value=day / 20, threshold=0.4, **at)
    for alert in alerts(ws):
        rows.alert(alert)
    open_table(ws.lake, "monitor.late").append(rows.to_arrow(START + 11 * DAY))


def wrote(ws: w.Workspace, version: int) -> str:
    return str(next(c.execution for c in ws.table("arrivals").history() if c.version == version))


def alerts(ws: w.Workspace) -> list[Alert]:
    since = START + 5 * DAY
    text = f"rows of arrivals@3 moved {HOSTILE}"
    blame = Blame("arrivals", 3, wrote(ws, 3), gradual=False, since=since, text=text)
    first = Alert(
        ALERT, "late", "ks", "delays__count_7d", "late_scores", "day", since, since + DAY, 0.5, 0.45,
        decides=False, known_at=START + 6 * DAY, blame=blame,
    )  # fmt: skip
    slow = Blame(None, None, None, gradual=True, since=START, text="gradual since 2013-04-01")
    second = Alert(
        "01JALERT0000000000000000BB", "late", "ks", "score", "late_scores", "day", START + 9 * DAY, START + 10 * DAY,
        0.45, 0.4, decides=True, known_at=START + 10 * DAY, blame=slow, closed=START + 10 * DAY,
    )  # fmt: skip
    return [first, second]


def set_aside(ws: w.Workspace) -> Table:
    """A row that does not fit, in quarantine."""
    table = ws.table("arrivals")
    bad = {
        "trip": "T-9999",
        "carrier": HOSTILE,
        "arr_at": START,
        "delay": "soon",
        "known_at": START + 9 * DAY,
    }
    table.append([bad], on_error="quarantine")
    return table


@dataclass
class Seen(HTMLParser):
    """What stands in a page: tags, links, ids, text, and whether every tag is closed."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    VOID = frozenset({"meta", "link", "input", "br", "img", "hr", "wbr"})

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def links(self) -> list[str]:
        return [str(a["href"]) for a in self.all("a") if "href" in a]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Site:
    """The pages of a workspace, asked without a network."""

    def __init__(self, ws: w.Workspace) -> None:
        self.ws = ws
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        app.include_router(router(ws))
        app.add_exception_handler(404, lambda request, _: not_found(request))
        self.app = app

    def ask(self, path: str, method: str = "GET") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path)

        return in_a_thread(send())

    def page(self, path: str, status: int = 200) -> Seen:
        """A page, parsed; every tag in it is closed."""
        answer = self.ask(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-2000:])
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        seen = Seen()
        seen.feed(answer.text)
        seen.close()
        assert seen.open == [], path
        return seen

    def data(self, path: str, status: int = 200) -> Any:
        """A twin, parsed strictly: no NaN."""
        answer = self.ask(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-2000:])
        assert answer.headers["content-type"] == "application/json"

        def refuse(text: str) -> None:
            raise AssertionError(f"{path} says {text}")

        return json.loads(answer.text, parse_constant=refuse)


def addresses(ws: w.Workspace) -> Iterator[str]:
    """One address of every page."""
    run = ws.runs.search(limit=1)[0].uid
    execution = ws.graph.find_nodes("execution", limit=1).nodes[0].uid
    yield from ("/", "/tables", "/tables/arrivals", "/tables/arrivals/versions/4", "/tables/late_scores")
    yield from (
        "/tables/arrivals/versions/1?look=1",
        "/tables/arrivals/versions/4?with=1",
        "/features",
        "/features/delays",
        "/runs",
        f"/runs/{run}",
    )
    yield from ("/models", "/models/late", "/models/late/versions/2", "/deployments", "/deployments/late")
    yield from ("/predictions", "/predictions/late_scores", "/predictions/late_scores/row?key=T-0009")
    yield from ("/monitors", "/monitors/late?window=day", f"/monitors/late/alerts/{ALERT}", "/quarantine")
    yield "/monitors/late/stream?table=late_scores&feature=delays__count_7d&window=day"
    yield from ("/quarantine/arrivals", "/trace", "/trace?ref=prediction:late_scores/T-0050", "/impact")
    yield from (
        "/trace?ref=model:late@champion",
        "/impact?ref=table:arrivals@2",
        "/executions",
        f"/executions/{execution}",
    )


def twin_of(address: str) -> str:
    path, mark, query = address.partition("?")
    return ("/index.json" if path == "/" else f"{path.rstrip('/')}.json") + mark + query
