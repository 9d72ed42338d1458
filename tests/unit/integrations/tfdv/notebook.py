"""The covertype notebook as it is written for TFDV: the environments story, from a first look to the stored schema.

Run by whence's tests with the import line changed, and as it stands by a Python that has TFDV; `main` writes what the
notebook comes to into a folder, so that both can be compared.
"""

from __future__ import annotations

import os
import sys
from typing import Any

NOTEBOOK = """
import os
import tensorflow_data_validation as tfdv

# 1. statistics and a schema of the training data
train_stats = tfdv.generate_statistics_from_csv(data_location=TRAIN)
schema = tfdv.infer_schema(statistics=train_stats)
tfdv.display_schema(schema=schema)
tfdv.visualize_statistics(train_stats)

# 2. curate it: slopes are degrees
slope = tfdv.get_feature(schema, 'Slope')
tfdv.set_domain(schema, 'Slope', type(slope.int_domain)(name='Slope', min=0, max=90))
tfdv.write_schema_text(schema, os.path.join(OUT, 'schema.pbtxt'))
schema = tfdv.load_schema_text(os.path.join(OUT, 'schema.pbtxt'))

# 3. evaluation data: new soils, slopes out of range
options = tfdv.StatsOptions(schema=schema, infer_type_from_schema=True)
eval_stats = tfdv.generate_statistics_from_csv(data_location=EVAL, stats_options=options)
tfdv.visualize_statistics(lhs_statistics=eval_stats, rhs_statistics=train_stats, lhs_name='EVAL', rhs_name='TRAIN')
eval_anomalies = tfdv.validate_statistics(statistics=eval_stats, schema=schema)
tfdv.display_anomalies(eval_anomalies)

# 4. accept the new soils, not the slopes
soil = tfdv.get_domain(schema, 'Soil_Type')
soil.value.append('C5151')
accepted_anomalies = tfdv.validate_statistics(eval_stats, schema)
tfdv.display_anomalies(accepted_anomalies)

# 5. serving data have no label
serving_stats = tfdv.generate_statistics_from_csv(data_location=SERVING, stats_options=options)
serving_anomalies = tfdv.validate_statistics(serving_stats, schema)
tfdv.display_anomalies(serving_anomalies)
schema.default_environment.append('TRAINING')
schema.default_environment.append('SERVING')
tfdv.get_feature(schema, 'Cover_Type').not_in_environment.append('SERVING')
quiet_anomalies = tfdv.validate_statistics(serving_stats, schema, environment='SERVING')
tfdv.display_anomalies(quiet_anomalies)

# 6. drift and skew
tfdv.get_feature(schema, 'Soil_Type').skew_comparator.infinity_norm.threshold = 0.01
tfdv.get_feature(schema, 'Elevation').drift_comparator.jensen_shannon_divergence.threshold = 0.001
drift_anomalies = tfdv.validate_statistics(
    train_stats, schema, environment='TRAINING', previous_statistics=eval_stats, serving_statistics=serving_stats)
tfdv.display_anomalies(drift_anomalies)

# 7. a schema that takes everything, and the files of the next run
updated = tfdv.update_schema(schema, eval_stats)
tfdv.write_schema_text(schema, os.path.join(OUT, 'final.pbtxt'))
tfdv.write_schema_text(updated, os.path.join(OUT, 'updated.pbtxt'))
tfdv.write_stats_text(train_stats, os.path.join(OUT, 'stats.pbtxt'))
tfdv.write_anomalies_text(eval_anomalies, os.path.join(OUT, 'anomalies.pbtxt'))
assert tfdv.load_stats_text(os.path.join(OUT, 'stats.pbtxt')) == train_stats
assert tfdv.load_anomalies_text(os.path.join(OUT, 'anomalies.pbtxt')) == eval_anomalies
slope_stats = tfdv.DatasetListView(train_stats).get_default_slice().get_feature('Slope').numeric_statistics()
"""


def run(import_line: str, folder: str, out: str) -> dict[str, Any]:
    """The names the notebook leaves behind."""
    text = NOTEBOOK.replace("import tensorflow_data_validation as tfdv", import_line)
    names: dict[str, Any] = {
        name.upper(): os.path.join(folder, f"{name}.csv")  # noqa: PTH118 - as the notebook has it
        for name in ("train", "eval", "serving")
    }
    names["OUT"] = out
    exec(compile(text, "notebook", "exec"), names)
    return names


def reasons(anomalies: Any) -> dict[str, list[int]]:
    """Types by feature, as numbers."""
    return {
        ".".join(info.path.step): sorted(r.type for r in info.reason)
        for info in anomalies.anomaly_info.values()
    }


def main(folder: str, out: str) -> None:
    names = run("import tensorflow_data_validation as tfdv", folder, out)
    found = {k: reasons(v) for k, v in names.items() if k.endswith("_anomalies")}
    with open(os.path.join(out, "found.txt"), "w") as file:  # noqa: PTH118, PTH123 - the standard library of any Python
        file.write(repr(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
