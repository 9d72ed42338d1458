"""What every address answers: errors, headers, names that read like twins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import whence as w
from tests.unit.server.ui.site import HOSTILE, Site
from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    UsageError,
    WhenceError,
)
from whence.metadata import Artifact, Change, Context, Execution, Put
from whence.server.ui.links import address
from whence.server.ui.router import status_of


@pytest.mark.parametrize(
    ("path", "code", "near"),
    [
        ("/tables/arivals", "table-not-found", "/tables/arrivals"),
        ("/tables/arrivals/versions/99", "table-version-not-found", None),
        ("/tables/arrivals/versions/x", "table-version-not-found", None),
        ("/tables/arrivals/versions/9999999999999999999999", "table-version-not-found", None),
        ("/tables/Not a name", "bad-name", None),
        ("/models/lat", "registered-model-not-found", "/models/late"),
        ("/models/late/versions/9", "model-version-not-found", None),
        ("/models/late/versions/champio", "alias-not-found", "/models/late/versions/champion"),
        ("/features/delay", "feature-view-not-found", "/features/delays"),
        ("/runs/nobody", "run-not-found", None),
        ("/executions/01J00000000000000000000000", "execution-not-found", None),
        ("/deployments/lat", "deployment-not-found", "/deployments/late"),
        ("/monitors/lat", "monitor-not-found", "/monitors/late"),
        ("/monitors/late/alerts/nobody", "alert-not-found", None),
        ("/predictions/arrivals", "not-predictions", None),
        ("/predictions/late_scores/row?key=T-00500", "prediction-not-found", None),
        ("/trace?ref=nonsense", "bad-reference", None),
        ("/trace?ref=table:arrival@2", "table-version-not-found", "/trace?ref=table%3Aarrivals%402"),
        ("/tables?page=7", "page-not-found", None),
        ("/no/such/page", "page-not-found", None),
    ],
)
def test_a_wrong_name_gets_a_friendly_page_and_a_json_error(
    site: Site, path: str, code: str, near: str | None
) -> None:
    page = site.page(path, 404)
    assert "Back to the journey map" in page.text
    assert code in page.text
    assert near is None or near in page.links
    bare, mark, query = path.partition("?")
    error = site.data(f"{bare}.json{mark}{query}", 404)["error"]
    assert error["code"] == code
    assert list(error) == ["code", "type", "message", "hint", "near", "details"]


@pytest.mark.parametrize("what", ["trace", "impact"])
def test_the_plain_name_of_a_node_is_enough(site: Site, what: str) -> None:
    assert site.data(f"/{what}.json?ref=TableVersion/arrivals@2")["ref"] == "table:arrivals@2"


@pytest.mark.parametrize(
    "path", ["/tables?page=0", "/tables?page=x", "/trace?ref=a&rows=-1", "/runs?page=1e9"]
)
def test_a_wrong_parameter_is_refused(site: Site, path: str) -> None:
    assert "bad-parameter" in site.page(path, 400).text


def test_a_parameter_of_a_megabyte_is_refused(site: Site) -> None:
    assert site.ask("/trace?ref=" + "x" * 5_000).status_code == 400


def test_an_error_is_escaped(site: Site) -> None:
    answer = site.ask(address("tables", HOSTILE))
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


def test_no_file_and_no_address_of_a_caller_is_opened(site: Site) -> None:
    for ref in ("blob:../../etc/passwd", "table:/etc/passwd", "row:x@1/../../etc", "run:http://127.0.0.1:1/"):
        assert site.ask(address("trace", ref=ref)).status_code == 404
    for path in (
        "/static/../router.py",
        "/static/%2e%2e/router.py",
        "/static/router.py",
        "/tables/..%2f..%2fwhence",
    ):
        assert site.ask(path).status_code == 404, path


def test_pages_ask_nobody_for_anything(site: Site) -> None:
    for path in ("/", "/index.json", "/static/whence.css", "/nowhere"):
        headers = site.ask(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    page = site.page("/")
    asked = [
        a.get("src") or a.get("href") or "" for t, a in page.tags if t in ("script", "link", "img", "iframe")
    ]
    assert asked
    assert all(a.startswith(("/", "data:")) and not a.startswith("//") for a in asked)


def test_what_never_changes_is_kept_by_the_browser(site: Site) -> None:
    page = site.page("/")
    css = next(a["href"] for a in page.all("link") if a.get("rel") == "stylesheet")
    assert css is not None
    assert "immutable" in site.ask(css).headers["cache-control"]
    assert site.ask("/").headers["cache-control"] == "no-cache"


def test_pages_are_read_and_never_written(site: Site) -> None:
    assert site.ask("/tables", "HEAD").status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert site.ask("/tables", method).status_code == 405, method


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("table", "x"), 404),
        (UsageError("x", code="bad-reference"), 404),
        (UsageError("x"), 400),
        (DeniedError("x"), 403),
        (ConflictError("x"), 409),
        (DataRejectedError("x"), 422),
        (BackendError("x"), 503),
        (IntegrityError("x"), 500),
    ],
)
def test_an_error_has_the_status_of_what_the_caller_can_do(error: WhenceError, status: int) -> None:
    assert status_of(error) == status


def test_a_name_that_ends_like_a_twin_has_a_page(tmp_path: Path) -> None:
    with w.connect(tmp_path / "x.whence") as ws:
        ws.table("a").append({"n": [1]})
        ws.table("b.json").append({"n": [1, 2]})
        site = Site(ws)
        assert address("tables", "b.json") == "/tables/b.json/"
        assert "/tables/b.json/" in site.page("/tables").links
        assert "b.json" in site.page("/tables/b.json/").text
        assert site.data("/tables/b.json.json")["n_rows"] == 2
        assert site.data("/tables/b.json", 404)["error"]["code"] == "table-not-found"
        assert site.data("/tables/a.json")["n_rows"] == 1


def test_many_may_ask_at_once_for_the_first_page(tmp_path: Path) -> None:
    with w.connect(tmp_path / "x.whence") as ws:
        ws.table("a").append({"n": [1]})
    with w.connect(tmp_path / "x.whence") as ws, ThreadPoolExecutor(8) as pool:
        site = Site(ws)
        paths = ["/", "/tables/a", "/tables/a/versions/0?look=1", "/executions"] * 4
        assert [a.status_code for a in pool.map(site.ask, paths)] == [200] * 16


def test_an_empty_workspace_has_every_page(tmp_path: Path) -> None:
    with w.connect(tmp_path / "x.whence") as ws:
        site = Site(ws)
        for path in (
            "/",
            "/tables",
            "/features",
            "/runs",
            "/models",
            "/deployments",
            "/predictions",
            "/monitors",
        ):
            assert site.page(path).text
        for path in ("/trace", "/impact", "/executions", "/quarantine"):
            assert site.page(path).text
        assert site.data("/index.json")["edges"] == []


def test_pages_of_a_large_graph_read_little_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand nodes, three hundred versions: no page reads more than a few hundred nodes."""
    with w.connect(tmp_path / "x.whence") as ws:
        for n in range(300):
            ws.table("flights").append({"n": [n]})
        many = [Put(Execution(type="append", state="COMPLETE", custom={"n": n})) for n in range(9_500)]
        ws.graph.write(Change([*many, Put(Context(type="Project", name="p"))]))
        site, read = Site(ws), []
        whole = ws.graph.find_nodes

        def counted(*args: object, **given: object) -> object:
            page = whole(*args, **given)  # type: ignore[arg-type]
            read.append(len(page.nodes))
            return page

        monkeypatch.setattr(ws.graph, "find_nodes", counted)
        for path in (
            "/",
            "/tables",
            "/tables/flights",
            "/tables/flights/versions/299",
            "/executions",
            "/runs",
        ):
            read.clear()
            site.page(path)
            assert sum(read) <= 400, (path, read)
        history = site.data("/tables/flights.json")
        assert (len(history["history"]), history["paging"]["pages"]) == (50, 6)


def test_artifacts_of_every_type_have_a_link(tmp_path: Path) -> None:
    with w.connect(tmp_path / "x.whence") as ws:
        _ = ws.runs  # declares the type
        with ws.execution("odd") as recording:
            recording.output(Artifact(type="Blob", name="sha256:00", custom={"x": float("nan")}))
        uid = recording.uid
        page = Site(ws).page(f"/executions/{uid}")
        assert any(link.startswith("/trace?ref=blob") for link in page.links)
