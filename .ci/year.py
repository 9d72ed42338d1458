"""What the journey of the year must have found: reads the object `whence demo flights --json` printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
months = [f"2013-{month:02}" for month in range(4, 13)]
by_name = {fault["name"]: fault for fault in found["faults"]}
quarantined = [fault for fault in by_name.values() if fault["fate"] == "quarantined"]

checks = {
    "each flight is scored once": (found["predictions"], found["duplicates"]) == (255_987, 0),
    "every label has come": found["labels"] == 249_435,
    "features as scored are those point in time": found["parity_cells_differing"] == 0,
    "nothing knows the future": found["leaks"] == 0,
    "the training is reproduced": found["reproduce"]["verdict"] == "identical",
    "every month is measured": list(found["auc"]) == months == list(found["metrics"]),
    "the champion beats its baseline in every month": found["not_beaten"] == [],
    "champions were replaced": len(found["promotions"]) >= 3,
    "what was set aside was replayed": found["quarantine"]["in"] == found["quarantine"]["replayed"] > 0,
    "there are no more than a few dozen alerts": len(found["alerts"]) <= 60,
}
for name, fault in by_name.items():
    if fault not in quarantined:
        about = [a for a in found["alerts"] if a["planted"] == name]
        checks[f"found: {name}"] = any(a["execution"] and a["version"] is not None for a in about)

for name, holds in checks.items():
    print("ok  " if holds else "FAIL", name)
print(f"{len(found['alerts'])} alerts, {len(found['promotions'])} promotions, {found['seconds']} s")
sys.exit(0 if all(checks.values()) else 1)
