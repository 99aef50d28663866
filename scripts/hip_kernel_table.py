#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the compiled HIP kernels take of an AMD GPU, from the metadata of their code objects.

  scripts/hip_kernel_table.py FOLDER [--readelf PROGRAM]          prints the table
  scripts/hip_kernel_table.py FOLDER --check docs/amd.md          fails if that document's table is another
  scripts/hip_kernel_table.py FOLDER --write docs/amd.md          puts the table there

FOLDER holds NAME-TARGET.co, as cmake/hip_backend.cmake leaves them in a build folder's hip/. Always fails if a kernel
uses scratch memory, spills vector registers, is of the wrong wave width, or takes so much that fewer blocks than
src/plan/amd_targets.cpp says fit a multiprocessor (for rows that are split and read as they are; else one). Only the
columns of targets that FOLDER has are looked at or written.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- kernels: made by scripts/hip_kernel_table.py -->", "<!-- end of kernels -->"
DTYPES = {"0": "f32", "1": "f16", "2": "bf16"}
NUMBERS = {"m": "u64", "j": "u32"}
FLAGS = {"fill_random_rows": ("philox", "xorwow")}  # what false and true mean, where not that rows are edited
BLOCK_THREADS = 512

# Vector registers of a SIMD for one lane, the step in which a wave gets them, and the most waves of a SIMD: LLVM,
# "User Guide for AMDGPU Backend" and its GCNSubtarget. A multiprocessor, as HIP counts them, has four SIMDs.
SIMDS = 4
REGISTERS = {
    "gfx90a": (512, 8, 8),
    "gfx942": (512, 8, 8),
    "gfx1030": (1024, 16, 16),
    "gfx1100": (1536, 24, 16),
    "gfx1151": (1536, 24, 16),
    "gfx1201": (1536, 24, 16),
}
KIB = 1024


def lds_of_multiprocessor(target):
    return 64 * KIB if target.startswith("gfx9") else 128 * KIB  # that of two compute units on RDNA


def read_kernels(readelf, path):
    """Yields a dict of the metadata of each kernel of a code object."""
    text = subprocess.run([readelf, "--notes", path], check=True, capture_output=True, text=True).stdout
    for part in re.split(r"\n  - (?=\.a)", text)[1:]:
        yield dict(re.findall(r"^ *(?:- )?\.(\w+): +(\S+)$", part, re.MULTILINE))


def name_of(symbol):
    """_ZN9tokendraw3gpu10sample_rowILNS_7request5DtypeE0ELb1ELi32EEE... -> ("sample_row", "f32 edited"), by the template
    arguments but for the wave's width; two dtypes are "f32 to bf16"."""
    match = re.match(r"_ZN9tokendraw3gpu(\d+)", symbol)
    rest = symbol[match.end():]
    name, arguments = rest[:int(match[1])], rest[int(match[1]):]
    dtypes = [DTYPES[number] for number in re.findall(r"(?:DtypeE|LS\w?_)(\d)E", arguments)]
    dtypes += [NUMBERS[letter] for letter in re.findall(r"^I([mj])", arguments)]
    flag = re.search(r"Lb([01])E", arguments)
    said = FLAGS.get(name, ("", "edited"))[int(flag[1])] if flag else ""
    return name, " ".join(filter(None, [" to ".join(dtypes) or "any", said]))


def blocks_at_once(target, kernel):
    """Blocks of 512 threads that a multiprocessor holds: by registers, wave slots and LDS."""
    total, step, most_waves = REGISTERS[target]
    registers = int(kernel["vgpr_count"])
    # Where accumulation registers are in the same file, the count of vector registers includes them.
    waves = min(most_waves, total // max(step, (registers + step - 1) // step * step))
    by_registers = SIMDS * waves * int(kernel["wavefront_size"]) // BLOCK_THREADS
    lds = int(kernel["group_segment_fixed_size"])
    return min(by_registers, lds_of_multiprocessor(target) // max(lds, 1))


def promised():
    """target -> (wave width, blocks at once), from the plan's table."""
    text = (ROOT / "src" / "plan" / "amd_targets.cpp").read_text()
    rows = re.findall(r'\{"(gfx\w+)", "[^"]*", \d+, (\d+), kLds, (\d+)\}', text)
    return {target: (int(wave), int(blocks)) for target, wave, blocks in rows}


def make_table(cells, targets):
    lines = ["| kernel | logits | " + " | ".join(targets) + " |", "|---|---|" + "---|" * len(targets)]
    for (name, kind), row in sorted(cells.items()):
        lines.append(f"| `{name}` | {kind} | " + " | ".join(row.get(target, "") for target in targets) + " |")
    return "\n".join(lines) + "\n"


def read_table(text):
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line]
    if not lines:
        return {}
    targets = lines[0][2:]
    return {(line[0].strip("`"), line[1]): dict(zip(targets, line[2:])) for line in lines[2:]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--readelf", default="llvm-readelf-19")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", type=pathlib.Path)
    action.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()

    promises, errors, kernels = promised(), [], {}
    for path in sorted(options.folder.glob("*-gfx*.co")):
        target = path.stem.rpartition("-")[2]
        for kernel in read_kernels(options.readelf, path):
            name, kind = name_of(kernel["name"])
            if kernel["vgpr_count"] == "0":
                continue  # of a cluster: empty where there are none
            where = f"{name} ({kind}) for {target}"
            wave, blocks = promises[target]
            if int(kernel["private_segment_fixed_size"]) or kernel.get("uses_dynamic_stack") == "true":
                errors.append(f"{where} uses scratch memory: {kernel['private_segment_fixed_size']} bytes a lane")
            if int(kernel["vgpr_spill_count"]):
                errors.append(f"{where} spills {kernel['vgpr_spill_count']} vector registers")
            if int(kernel["wavefront_size"]) != wave:
                errors.append(f"{where} has waves of {kernel['wavefront_size']}, not {wave}")
            # What the plan counts on, for rows that are split.
            blocks = blocks if name.startswith("split_") and not kind.endswith("edited") else 1
            if blocks_at_once(target, kernel) < blocks:
                errors.append(f"{where}: {blocks_at_once(target, kernel)} blocks fit a multiprocessor, not {blocks}")
            kernels.setdefault((name, kind), {})[target] = kernel
    targets = [target for target in promises if any(target in found for found in kernels.values())]
    if not kernels or any(len(found) != len(targets) for found in kernels.values()):
        errors.append(f"{options.folder} does not hold every kernel for every target")

    cells = {}  # (kernel, logits) -> target -> text
    for key, found in kernels.items():
        for target, kernel in found.items():
            lanes = f"+{kernel['sgpr_spill_count']}" if int(kernel["sgpr_spill_count"]) else ""
            cells.setdefault(key, {})[target] = " / ".join([
                kernel["vgpr_count"], kernel["sgpr_count"] + lanes, kernel["group_segment_fixed_size"],
                str(blocks_at_once(target, kernel))])

    document = options.check or options.write
    text = document.read_text() if document else f"{BEGIN}\n{END}"
    begin, end = text.index(BEGIN) + len(BEGIN) + 1, text.index(END)
    before = read_table(text[begin:end])
    if options.check:
        for key in sorted(cells.keys() | before.keys()):
            for target in targets:
                there, here = before.get(key, {}).get(target), cells.get(key, {}).get(target)
                if there != here:
                    errors.append(f"{key[0]} ({key[1]}) for {target}: {document} says {there}, compiled: {here}")
        if errors:
            errors.append(f"to bring it up to date: scripts/hip_kernel_table.py {options.folder} --write {document}")
    else:
        for key, found in before.items():  # of targets that were not compiled now
            for target, cell in found.items():
                if target not in targets and key in cells:
                    cells[key][target] = cell
        table = make_table(cells, [target for target in promises if any(target in row for row in cells.values())])
        if options.write:
            document.write_text(text[:begin] + table + text[end:])
        else:
            print(table, end="")
    for error in errors:
        print(f"hip_kernel_table: {error}", file=sys.stderr)
    print(f"hip_kernel_table: {sum(map(len, kernels.values()))} kernels for {len(targets)} targets, "
          f"{len(errors)} errors", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
