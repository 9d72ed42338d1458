"""The wheel in a bare environment: five lines of a journey."""

import sys

import whence as w

ws = w.connect(sys.argv[1])
commit = ws.table("flights").append([{"carrier": "B6", "arr_delay": 12}, {"carrier": "UA", "arr_delay": -3}])
again = ws.table("flights").append([{"carrier": "B6", "arr_delay": 40}])
rows = ws.sql("SELECT carrier, count(*) AS n FROM flights GROUP BY 1 ORDER BY 1").to_pylist()
then = ws.sql(f"SELECT count(*) AS n FROM flights VERSION AS OF {commit.version}").to_pylist()
ws.close()

assert rows == [{"carrier": "B6", "n": 2}, {"carrier": "UA", "n": 1}], rows
assert then == [{"n": 2}], then
assert again.version == commit.version + 1
print(f"whence {w.__version__} from {w.__file__}: version {again.version} of flights, {rows}")
