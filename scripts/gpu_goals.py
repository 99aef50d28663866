#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables of a GPU bench beside its goals: scripts/gpu_goals.py BENCH.CSV

For every vocabulary, dtype and kind of rows of a file that gpu_bench wrote: the time of each filter as a multiple of
that of the row maximum in the same run, with a star where it is above the goal, and the microseconds of both yardsticks.
At the end how many cells meet their goals. Exit status 2 if the file is no such file.
"""

import csv
import sys

FEW = ("greedy", "top-k", "top-k+top-p", "min-p")  # filters that need few weights

# The most that a cell may take, in times of the row maximum: up to 16 rows, up to 64, more.
GOALS_OF_FEW = (2.0, 1.5, 1.25)
GOALS_OF_NONE = (1.8, 1.6, 1.4)
GOALS_OF_ALL = (2.5, 1.9, 1.5)  # every weight and a cut
GOALS_OF_FLAT = (4.0, 3.0, 2.5)  # any filter but greedy and top-k on flat rows


def goal(filter_name, data, batch):
    column = 0 if batch <= 16 else 1 if batch <= 64 else 2
    if filter_name in ("greedy", "top-k", "top-k+top-p"):
        return GOALS_OF_FEW[column]
    if filter_name == "none":
        return GOALS_OF_NONE[column]
    if data in ("normal1", "two-valued"):
        return GOALS_OF_FLAT[column]
    return GOALS_OF_FEW[column] if filter_name in FEW else GOALS_OF_ALL[column]


def ratio_of(line):
    """What a line of the bench takes, in times of the row maximum."""
    return float(line["cold_us"]) / float(line["row_maximum_us"])


def meets_goal(line):
    return round(ratio_of(line), 2) <= goal(line["filter"], line["data"], int(line["batch"]))


def main(path):
    with open(path, newline="", encoding="ascii") as file:
        rows = [row for row in csv.DictReader(file) if row.get("algorithm", "auto") == "auto"]
    if not rows or "row_maximum_us" not in rows[0]:
        print(f"gpu_goals: {path} has no lines of gpu_bench", file=sys.stderr)
        return 2
    batches = sorted({int(row["batch"]) for row in rows})
    tables = {}
    for row in rows:
        table = tables.setdefault((row["vocab"], row["dtype"], row["data"]), {})
        table.setdefault(row["filter"], {})[int(row["batch"])] = row
    met = 0
    for (vocab, dtype, data), table in tables.items():
        print(f"V = {vocab}, {dtype}, {data} rows")
        some = next(iter(table.values()))
        for name, key in (("one read, us", "one_read_us"), ("row maximum, us", "row_maximum_us")):
            cells = (f"{float(some[b][key]):8.2f}" if b in some else " " * 8 for b in batches)
            print(f"  {name:16}" + " ".join(cells))
        for filter_name, cells in table.items():
            texts = []
            for batch in batches:
                if batch not in cells:
                    texts.append(" " * 8)
                    continue
                good = meets_goal(cells[batch])
                met += good
                texts.append(f"{ratio_of(cells[batch]):7.2f}{' ' if good else '*'}")
            print(f"  {filter_name:16}" + " ".join(texts))
        print(f"  {'batch':16}" + " ".join(f"{batch:7d} " for batch in batches))
        print()
    print(f"{met} of {len(rows)} cells meet their goals (* is above)")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
