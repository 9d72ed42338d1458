"""The page of a table version shows what validations of it found, without recording anything."""

from __future__ import annotations

from pathlib import Path

import whence as w
from tests.unit.server.ui.site import Site

HOSTILE = "<script>alert('x')</script>"


def test_a_version_shows_the_newest_report_of_each_schema(tmp_path: Path) -> None:
    with w.connect(tmp_path / "shop.whence") as ws:
        orders = ws.table("orders")
        orders.append([{"country": "DE", "eur": 1.0}])
        schema = ws.validation.infer_schema(ws.validation.statistics(orders.head()))
        ws.validation.put_schema("orders", schema.rule("sane", "eur < 9"))
        orders.append([{"country": HOSTILE, "eur": 10.0}])
        first, second = orders.at(0), orders.at(1)
        ws.validation.validate(first, "orders")
        for _ in range(2):
            ws.validation.validate(second, "orders")
        site = Site(ws)
        told = site.data("/tables/orders/versions/1.json")["validations"]
        assert [(v["schema"], v["ok"], v["n_anomalies"]) for v in told] == [("schema:orders@1", False, 2)]
        assert {a["type"] for a in told[0]["anomalies"]} == {
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            "CUSTOM_VALIDATION",
        }
        site.page("/tables/orders/versions/1")
        page = site.ask("/tables/orders/versions/1").text
        assert HOSTILE not in page
        assert "Anomalies" in page
        assert "row:orders@1/" in page
        clean = site.ask("/tables/orders/versions/0").text
        assert "no anomalies found" in clean
        orders.append([{"country": "DE", "eur": 2.0}])
        assert "whence validate orders@2" in site.ask("/tables/orders/versions/2").text


def test_two_versions_stand_over_each_other_with_the_anomalies(tmp_path: Path) -> None:
    with w.connect(tmp_path / "shop.whence") as ws:
        orders = ws.table("orders")
        orders.append([{"country": "DE", "eur": float(n)} for n in range(30)])
        ws.validation.put_schema("orders", ws.validation.infer_schema(ws.validation.statistics("orders")))
        orders.append([{"country": "FR", "eur": 900.0}] * 20)
        ws.validation.validate(orders.at(1), "orders")
        before = len(ws.graph.find_nodes("execution").nodes)
        site = Site(ws)
        told = site.data("/tables/orders/versions/1.json?with=0")["compared"]
        assert (told["version"], told["n_rows"]) == (0, 30)
        assert {d["feature"] for d in told["distances"]} == {"country", "eur"}
        page = site.ask("/tables/orders/versions/1?with=0").text
        site.page("/tables/orders/versions/1?with=0")
        assert 'aria-label="Versions"' in page
        assert "orders@0" in page
        assert 'class="anomaly error"' in page
        assert "Expected: STRING" in page
        assert "<h1>" in page
        assert page.count("<h1") == page.count("<main") == 1
        alone = site.ask("/tables/orders/versions/1").text
        assert 'aria-label="Versions"' not in alone
        assert "/tables/orders/versions/1?with=0" in site.page("/tables/orders").links
        assert (
            site.data("/tables/orders/versions/1.json?with=9", 404)["error"]["code"]
            == "table-version-not-found"
        )
        assert site.data("/tables/orders/versions/1.json?with=x", 400)["error"]["code"] == "bad-parameter"
        assert len(ws.graph.find_nodes("execution").nodes) == before, "looking is not recorded"


def test_versions_nobody_described_are_compared_by_looking(tmp_path: Path) -> None:
    with w.connect(tmp_path / "shop.whence") as ws:
        ws.table("orders").append([{"eur": 1.0}])
        ws.table("orders").append([{"eur": 2.0}])
        site = Site(ws)
        assert site.data("/tables/orders/versions/1.json")["statistics"] is None
        compared = site.data("/tables/orders/versions/1.json?with=0")
        assert not compared["statistics"]["kept"]
        assert compared["compared"]["statistics"]["name"] == "orders@0"
        assert "Made just now by looking" in site.page("/tables/orders/versions/1?with=0").text
