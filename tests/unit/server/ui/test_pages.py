"""Every page: what it says, that it can be read without eyes, that nothing of the data becomes markup."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from tests.unit.server.ui.site import ALERT, HOSTILE, KEY, Seen, Site, addresses, twin_of, wrote
from whence.server.ui.router import PAGES

HEADINGS = ("h1", "h2", "h3", "h4")


def test_every_page_has_an_address_here(site: Site) -> None:
    """A new page that no test opens is found here."""
    asked = [urlsplit(a).path for a in addresses(site.ws)]
    for page in PAGES:
        parts = page.path.split("/")
        assert any(
            len(parts) == len(a.split("/"))
            and all(p == q or p.startswith("{") for p, q in zip(parts, a.split("/"), strict=True))
            for a in asked
        ), page.path


def test_every_page_can_be_read_without_eyes(site: Site) -> None:
    titles = Counter[str]()
    for address in addresses(site.ws):
        seen = site.page(address)
        _check_frame(seen, address)
        _check_headings(seen, address)
        _check_tables(seen, address)
        _check_names(seen, address)
        titles[_text_of(site.ask(address).text, "title")] += 1
    assert all(title.endswith(" · whence") for title in titles)


def _check_frame(seen: Seen, address: str) -> None:
    assert seen.all("html") == [{"lang": "en"}], address
    assert seen.all("a")[0] == {"class": "skip", "href": "#main"}, address
    for tag in ("main", "header", "footer"):
        assert len(seen.all(tag)) >= 1, (address, tag)
    assert [m["id"] for m in seen.all("main")] == ["main"], address
    names = [n.get("aria-label") for n in seen.all("nav")]
    assert all(names), (address, names)
    assert len(names) == len(set(names)), (address, names)
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids)), (address, [i for i, n in Counter(ids).items() if n > 1])


def _check_headings(seen: Seen, address: str) -> None:
    levels = [HEADINGS.index(tag) + 1 for tag, _ in seen.tags if tag in HEADINGS]
    assert levels.count(1) == 1, address
    before = 0
    for level in levels:
        assert level <= before + 1, (address, levels)
        before = level


def _check_tables(seen: Seen, address: str) -> None:
    assert len(seen.all("caption")) == len(seen.all("table")), address
    assert all(th.get("scope") in ("col", "row") for th in seen.all("th")), address
    regions = [a for _, a in seen.tags if a.get("role") == "region"]
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions), address


def _check_names(seen: Seen, address: str) -> None:
    labelled = {a["for"] for a in seen.all("label")}
    for tag in ("input", "select"):
        assert all(a.get("id") in labelled for a in seen.all(tag)), (address, tag)
    for svg in seen.all("svg"):
        named = svg.get("aria-label") or svg.get("aria-labelledby") or svg.get("aria-hidden") == "true"
        assert named, (address, svg)
    referred = [i for _, a in seen.tags for i in (a.get("aria-labelledby") or "").split()]
    ids = {a["id"] for _, a in seen.tags if "id" in a}
    assert set(referred) <= ids, (address, set(referred) - ids)


def _text_of(html: str, tag: str) -> str:
    return html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def test_nothing_of_the_data_becomes_markup(site: Site) -> None:
    shown = 0
    for address in addresses(site.ws):
        answer = site.ask(address).text
        seen = site.page(address)
        asked = [str(s.get("src")).partition("?")[0] for s in seen.all("script")]
        assert asked == ["/static/whence.js"], address
        assert "<script>alert" not in answer, address
        assert all(not name.startswith("on") for _, a in seen.tags for name in a), address
        shown += HOSTILE in seen.text
    assert shown > 8  # the hostile text is on the pages, as text


def test_every_twin_says_the_same_as_its_page_is_made_of(site: Site) -> None:
    for address in addresses(site.ws):
        assert isinstance(site.data(twin_of(address)), dict), address


def test_every_link_leads_somewhere_and_looking_records_nothing(site: Site) -> None:
    before = site.ws.graph.find_nodes("execution").nodes
    seen, front = {"/"}, ["/"]
    while front and len(seen) < 150:
        page = site.page(front.pop())
        for link in page.links:
            path = link.partition("#")[0]
            if not path or path in seen or ".json" in path:
                continue
            seen.add(path)
            if "ref=" not in path:  # traces are many and slow; those of `addresses` are enough
                front.append(path)
    assert len(seen) > 100
    assert len(site.ws.graph.find_nodes("execution").nodes) == len(before)


def test_the_map_shows_the_journey_from_table_to_monitor(site: Site) -> None:
    data = site.data("/index.json")
    stages = {s["stage"]: [n["name"] for n in s["nodes"]] for s in data["stages"]}
    assert stages == {
        "tables": ["arrivals", "schedule"],
        "features": ["delays"],
        "training": ["train.late"],
        "models": ["late"],
        "deployments": ["late"],
        "predictions": ["baseline_scores", "late_scores"],
        "monitors": ["late"],
    }
    assert {(e["from"], e["to"]) for e in data["edges"]} == {
        ("tables/arrivals", "features/delays"),
        ("tables/schedule", "training/train.late"),
        ("features/delays", "training/train.late"),
        ("training/train.late", "models/late"),
        ("models/late", "deployments/late"),
        ("models/late", "predictions/baseline_scores"),
        ("deployments/late", "predictions/late_scores"),
        ("predictions/late_scores", "monitors/late"),
    }
    assert [a["uid"] for a in data["alerts"]] == [ALERT]


def test_a_table_says_what_was_declared_and_who_wrote_what(site: Site) -> None:
    data = site.data("/tables/arrivals.json")
    assert data["role"] == "source"
    assert [(c["version"], c["type"], c["added"]) for c in data["history"]] == [
        (5, "append", 0), (4, "append", 24), (3, "append", 24), (2, "append", 24), (1, "append", 24), (0, "create", 0),
    ]  # fmt: skip
    roles = {c["name"]: c["roles"] for c in data["columns"]}
    assert roles == {
        "trip": ["key"],
        "carrier": [],
        "arr_at": ["event time"],
        "delay": [],
        "known_at": ["known at"],
    }
    assert [(h["version"], h["reason"]) for h in data["holds"]] == [(2, f"kept {HOSTILE}")]
    assert [c["version"] for c in data["history"] if c["statistics"]] == [4]


def test_a_version_shows_kept_statistics_and_offers_to_look_at_others(site: Site) -> None:
    kept = site.data("/tables/arrivals/versions/4.json")["statistics"]
    delay = next(f for f in kept["features"] if f["name"] == "delay")
    assert (kept["kept"], delay["num_missing"], delay["max"]) == (True, 1, 49)
    without = site.data("/tables/arrivals/versions/3.json")
    assert (without["statistics"], without["can_look"]) == (None, True)
    looked = site.data("/tables/arrivals/versions/3.json?look=1")["statistics"]
    assert (looked["kept"], looked["n_rows"]) == (False, 72)
    assert len(site.page("/tables/arrivals/versions/4").all("svg")) > 5


def test_a_prediction_is_found_by_a_key_that_is_hostile_to_addresses(site: Site) -> None:
    found = site.data("/predictions/late_scores.json?key=B6%2F7")["predictions"]
    assert [p["key"] for p in found] == [KEY]
    page = site.page("/predictions/late_scores?key=B6%2F7")
    link = next(a for a in page.links if a.startswith("/predictions/late_scores/row"))
    assert link == "/predictions/late_scores/row?key=B6%2F7%3Fx%3D1%26y%3D%3Cb%3E"
    assert site.page(link).text.count(KEY) > 1
    assert site.data(twin_of(link))["key"] == {"trip": KEY}


def test_a_trace_has_every_stored_value_beside_the_recomputed_one(site: Site) -> None:
    trace = site.data("/trace.json?ref=prediction:late_scores/T-0050")["trace"]
    assert trace["mismatches"] == []
    value = trace["features"]["delays__mean_delay_1d"]
    assert value["value"] == value["recomputed"]
    page = site.page("/trace?ref=prediction:late_scores/T-0050")
    assert "Every stored value is the one its raw rows give." in page.text
    assert any(d.get("open", "no") is None for d in page.all("details"))


def test_a_model_tells_who_was_champion_when_and_why(site: Site) -> None:
    data = site.data("/models/late.json")
    moves = [(m["alias"], m["from"], m["to"], m["reason"]) for m in data["moves"]]
    assert moves == [
        ("baseline", None, 1, ""),
        ("champion", 1, 2, f"auc 0.8 {HOSTILE}"),
        ("champion", None, 1, f"auc 0.7 {HOSTILE}"),
    ]
    assert all(m["at"] for m in data["moves"])
    trained = site.data("/models/late/versions/champion.json")["trained_on"]
    assert [t["ref"] for t in trained] == ["table:train.late@0"]


def test_runs_are_searched_in_their_language(site: Site) -> None:
    found = site.data("/runs.json?q=metrics.auc+%3E+0.75&order=metrics.auc+DESC")["runs"]
    assert [r["params"]["depth"] for r in found] == [2]
    assert site.data("/runs.json?q=metrics..", 400)["error"]["code"] == "bad-filter"
    run = site.data(f"/runs/{found[0]['uid']}.json")
    assert {m["key"]: len(m["steps"]) for m in run["metrics"]} == {"auc": 0, "loss": 3}
    assert [i["ref"] for i in run["inputs"]] == ["table:train.late@0"]
    assert [o["ref"] for o in run["outputs"] if o["kind"] == "model"] == ["model:late@2"]


def test_a_deployment_says_how_far_it_has_come(site: Site) -> None:
    data = site.data("/deployments/late.json")
    assert (data["answers"], data["behind"], data["n_rows"]) == ("model:late@2", 0, data["n_rows"])
    assert data["n_rows"] > 0
    assert [s["type"] for s in data["steps"]] == ["score"]


def test_alerts_are_marked_on_their_chart_and_name_their_cause(site: Site) -> None:
    stream = "/monitors/late/stream.json?table=late_scores&feature=delays__count_7d&window=day"
    (chart,) = site.data(stream)["charts"]
    assert [(m["number"], m["uid"], m["blamed"]) for m in chart["marks"]] == [(1, ALERT, "table:arrivals@3")]
    assert [p["value"] for p in chart["points"]] == [day / 10 for day in range(10)]
    page = site.page(f"/monitors/late/alerts/{ALERT}")
    assert f"rows of arrivals@3 moved {HOSTILE}" in page.text
    assert "/tables/arrivals/versions/3" in page.links
    assert f"/executions/{wrote(site.ws, 3)}" in page.links


def test_a_gradual_alert_names_no_execution(site: Site) -> None:
    page = site.page("/monitors/late/alerts/01JALERT0000000000000000BB")
    assert "no execution is its cause" in page.text
    assert not [link for link in page.links if link.startswith("/executions/")]


def test_quarantined_rows_say_why(site: Site) -> None:
    data = site.data("/quarantine/arrivals.json")
    assert data["counts"]["pending"] == 1
    assert data["rows"][0]["reasons"]
    assert site.data("/quarantine/schedule.json", 404)["error"]["code"] == "quarantine-not-found"


def test_executions_are_paged_by_a_cursor(site: Site) -> None:
    first = site.data("/executions.json?type=append")
    assert {e["type"] for e in first["executions"]} == {"append"}
    assert first["paging"]["next"] is None
    assert site.data("/executions.json?cursor=nonsense", 400)["error"]["code"] == "bad-cursor"
