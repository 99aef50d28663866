#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of GPU times in the documents, from the files in results/ that they are said to come from.

  scripts/gpu_tables.py --check [DOCUMENT...]     fails if a table is not what its files say
  scripts/gpu_tables.py --write [DOCUMENT...]     brings them up to date [README.md docs/performance.md]

A table stands below a comment that says which it is: <!-- gpu_tables: KIND FOLDER NAME=VALUE... -->, FOLDER being one of
results/. Kinds, and what they can be given (lists have commas), V being 128256:

  yardsticks              one read and row maximum, f32 and bf16, for rows like `data` [real]
  times                   filters beside the row maximum: dtype, data [real], filters; names=long: with their parameters;
                          yardstick=1: the row maximum comes first
  goals                   the same ratios of f32 / bf16 beside the goals of gpu_goals.py; data [real], filters
  engines                 a row on the GPU, by the CPU engine, and sorted: dtype [f32], data [real], filters
  profile                 what Nsight Compute counted: filters
  rejection               beside the exact algorithm; f32
"""
import argparse
import csv
import functools
import pathlib
import re
import sys

import gpu_goals

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = re.compile(r"<!-- gpu_tables: (\w+) (\S+)((?: \w+=\S+)*) -->")
VOCAB = "128256"
LONG_NAMES = {
    "min-p": "min-p 0.05",
    "top-k+top-p": "top-k 50 + top-p 0.9",
    "none": "no filter",
    "joint": "joint: top-p of the whole row, top-k",
    "top-p": "top-p 0.9",
}
DATA_NAMES = {"normal1": "standard normal", "two-valued": "two values"}


def rounded(value, two_digits, one_digit):
    """With two digits after the point below a bound, one below another, else none."""
    value = float(value)
    return f"{value:.{2 if value < two_digits else 1 if value < one_digit else 0}f}"


def microseconds(value):
    return rounded(value, 4, 20)


def lines_of(header, rows):
    def line_of(cells):
        return "| " + " | ".join(cells) + " |"

    return [line_of(header), "|" + "---|" * len(header), *map(line_of, rows)]


class Bench:
    """The lines of a file of gpu_bench for V, by dtype, kind of rows, filter and batch."""

    def __init__(self, folder, name="bench.csv"):
        with open(folder / name, newline="", encoding="ascii") as file:
            self.lines = [line for line in csv.DictReader(file) if line["vocab"] == VOCAB]
        self.batches = sorted({int(line["batch"]) for line in self.lines})
        self.cells = {}
        for line in self.lines:
            key = (line["dtype"], line["data"], line["filter"], int(line["batch"]), line["algorithm"])
            self.cells[key] = line

    def cell(self, dtype, data, filter_name, batch, algorithm="auto"):
        return self.cells[dtype, data, filter_name, batch, algorithm]

    def yardstick(self, dtype, data, batch, column):
        """By the first filter: each filter is timed beside yardsticks of its own."""
        return next(line[column] for line in self.lines
                    if (line["dtype"], line["data"], int(line["batch"])) == (dtype, data, batch))

    def header(self, first):
        return [first] + [f"batch {batch}" for batch in self.batches]


bench_of = functools.cache(Bench)  # most tables of a document are of one file


def yardsticks(folder, data="real"):
    bench = bench_of(folder)
    rows = [[f"{name}, {dtype}"] + [microseconds(bench.yardstick(dtype, data, b, column)) for b in bench.batches]
            for dtype in ("f32", "bf16") for name, column in (("one read", "one_read_us"),
                                                              ("row maximum", "row_maximum_us"))]
    return lines_of(bench.header(f"µs, {DATA_NAMES.get(data, data)} logits"), rows)


def times(folder, dtype, filters, data="real", names="short", yardstick=""):
    bench = bench_of(folder)
    rows = []
    if yardstick:
        rows.append(["row maximum"] +
                    [microseconds(bench.yardstick(dtype, data, b, "row_maximum_us")) for b in bench.batches])
    for name in filters.split(","):
        cells = [bench.cell(dtype, data, name, b) for b in bench.batches]
        rows.append([LONG_NAMES.get(name, name) if names == "long" else name] +
                    [f"{microseconds(cell['cold_us'])} ({gpu_goals.ratio_of(cell):.1f})" for cell in cells])
    return lines_of(bench.header("filter"), rows)


def goals(folder, filters, data="real"):
    bench = bench_of(folder)
    rows = []
    for name in filters.split(","):
        few, some, many = (gpu_goals.goal(name, data, batch) for batch in (1, 64, 512))
        row = [f"{name}: {few} up to 16, {some} at 64, {many}"]
        for batch in bench.batches:
            cells = [bench.cell(dtype, data, name, batch) for dtype in ("f32", "bf16")]
            marks = ["" if gpu_goals.meets_goal(cell) else "**" for cell in cells]
            row.append(" / ".join(f"{mark}{gpu_goals.ratio_of(cell):.2f}{mark}" for cell, mark in zip(cells, marks)))
        rows.append(row)
    return lines_of(bench.header("goal"), rows)


def engines(folder, filters, dtype="f32", data="real"):
    bench = bench_of(folder)
    cpu = {}
    for line in (folder / "cpu.txt").read_text().splitlines():
        words = line.split()
        if len(words) == 9 and words[:3] == [data, VOCAB, dtype]:
            cpu[words[3]] = words
    rows = []
    for name in filters.split(","):
        few, many = (float(bench.cell(dtype, data, name, batch)["cold_us"]) / batch for batch in (1, 512))
        rows.append([name] + [rounded(value, 1, 100) for value in (few, many, cpu[name][4], cpu[name][7])])
    return lines_of(["filter", "GPU, batch 1", "GPU, batch 512", "CPU engine", "sort"], rows)


def profile(folder, filters):
    units = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}
    cells = {}
    for part in (folder / "profile.txt").read_text().split("==== ")[1:]:
        name, dtype, batch, logits = re.match(r"(\S+), (\S+), batch (\d+), (\d+) bytes", part).groups()
        unit, read = re.search(r"dram__bytes_read\.sum +(\w+) +([\d.,]+)", part).groups()
        issued = re.search(r"sm__inst_issued\S+ +% +([\d.]+)", part)[1]
        active = re.search(r"sm__warps_active\S+ +% +([\d.]+)", part)[1]
        times_read = float(read.replace(",", "")) * units[unit] / int(logits)
        cells[name, dtype, int(batch)] = f"{times_read:.2f}, {float(issued):.0f} %, {float(active):.0f} %"
    batches = sorted({key[2] for key in cells})
    header = ["filter"] + [f"{dtype}, batch {batch}" for dtype in ("f32", "bf16") for batch in batches]
    rows = [[name] + [cells[name, dtype, batch] for dtype in ("f32", "bf16") for batch in batches]
            for name in filters.split(",")]
    return lines_of(header, rows)


def rejection(folder):
    bench = bench_of(folder, "rejection.csv")
    kinds = list(dict.fromkeys((line["data"], line["filter"]) for line in bench.lines if line["dtype"] == "f32"))
    rows = []
    for data, name in kinds:
        row = [DATA_NAMES.get(data, data), name]
        for batch in bench.batches:
            by_rejection = bench.cell("f32", data, name, batch, "rejection")
            exact = bench.cell("f32", data, name, batch)
            row.append(f"{microseconds(by_rejection['cold_us'])}, exact {microseconds(exact['cold_us'])}, "
                       f"{float(by_rejection['mean_rounds']):.1f}")
        rows.append(row)
    return lines_of(["rows", "filter"] + [f"batch {batch}" for batch in bench.batches], rows)


KINDS = {function.__name__: function for function in (yardsticks, times, goals, engines, profile, rejection)}


def renewed(document):
    """The document's lines with its tables as the files say, and for each table its mark and whether it changed."""
    lines, tables = [], []
    source = document.read_text().splitlines()
    at = 0
    while at < len(source):
        lines.append(source[at])
        mark = MARK.fullmatch(source[at])
        at += 1
        if not mark:
            if lines[-1].startswith("<!-- gpu_tables"):
                raise ValueError(f"'{lines[-1]}' names no table")
            continue
        kind, folder, options = mark.groups()
        table = KINDS[kind](ROOT / folder, **dict(option.split("=") for option in options.split()))
        begin = at = at + (1 if at < len(source) and source[at] == "" else 0)
        while at < len(source) and source[at].startswith("|"):
            at += 1
        tables.append((mark[0], source[begin:at] != table))
        lines += ["", *table] + ([""] if at < len(source) and source[at] != "" else [])
    return lines, tables


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", action="store_true")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    checked = wrong = 0
    for document in options.documents or [ROOT / "README.md", ROOT / "docs" / "performance.md"]:
        try:
            lines, tables = renewed(document)
        except (KeyError, OSError, StopIteration, TypeError, ValueError) as error:
            print(f"gpu_tables: {document}: {type(error).__name__}: {error}", file=sys.stderr)
            return 2
        checked += len(tables)
        if options.write:
            document.write_text("\n".join(lines) + "\n")
            continue
        for mark, changed in tables:
            if changed:
                print(f"gpu_tables: {document}: the table below '{mark}' is not what its files say; "
                      "scripts/gpu_tables.py --write brings it up to date", file=sys.stderr)
                wrong += 1
    print(f"gpu_tables: {checked} tables, {wrong} wrong", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
