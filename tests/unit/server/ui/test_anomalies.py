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
