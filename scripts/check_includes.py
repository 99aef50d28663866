#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails on an include that goes against the direction of the layers (DESIGN.md).

  api -> cpu, backend -> plan -> request -> draw;  gpu -> backend: what a GPU backend's shared object is made of;
  tools, examples, bench and tests come in through include/tokendraw only.

Each folder has a list of the folders its files may include from; anything else with quotes is an error. System headers
(angle brackets) are free, except in src/draw, which is compiled for devices too, and the listed few.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# folder -> prefixes that its quoted includes may begin with
ALLOWED = {
    "include/tokendraw": ["tokendraw/"],
    "src/draw": ["draw/"],
    "src/plan": ["draw/", "request/", "plan/"],
    "src/request": ["draw/", "request/", "tokendraw/"],
    "src/cpu": ["draw/", "plan/", "request/", "cpu/"],
    "src/cpu/simd": ["draw/", "plan/", "request/", "cpu/", "hwy/"],
    "src/backend": ["draw/", "plan/", "request/", "backend/"],
    "src/gpu": ["draw/", "plan/", "request/", "backend/", "gpu/"],
    "src/api": ["draw/", "plan/", "request/", "cpu/", "backend/", "api/", "tokendraw/"],
    "tools": ["tokendraw/"],
    "bench": ["tokendraw/"],
    "examples": ["tokendraw/"],
    "tests": ["tokendraw/"],
}
# Folders outside the library -> where their other quoted includes may be found ("support/batch_spec.h", "cases.h").
OUTSIDE = {
    "tools": ["tools/tokendraw"],
    "bench": ["bench", "tools/tokendraw"],
    "examples": ["examples"],
    "tests": ["tests", "tools/tokendraw"],
}
# Files that look inside, and why.
EXCEPTIONS_FILE = ROOT / "scripts" / "include_exceptions.txt"
# What src/draw may take from the system.
DRAW_SYSTEM = {"cstdint", "cstring", "cmath"}
# A quoted include without a folder in its name is a neighbour: same folder, always allowed.
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
ENDINGS = {".h", ".hpp", ".c", ".cpp", ".cu"}


def read_exceptions():
    exceptions = {}
    for line in EXCEPTIONS_FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, prefixes, reason = (part.strip() for part in line.split("|"))
            if not reason:
                sys.exit(f"check_includes: {pattern} has no reason")
            exceptions[pattern] = prefixes.split()
    return exceptions


def layer_of(path):
    matches = [folder for folder in ALLOWED if path.startswith(folder + "/")]
    return max(matches, key=len) if matches else None


def main():
    exceptions = read_exceptions()
    used, errors, checked = set(), [], 0
    for file in sorted(ROOT.rglob("*")):
        path = file.relative_to(ROOT).as_posix()
        if file.suffix not in ENDINGS or path.startswith(("build/", ".git/")):
            continue
        layer = layer_of(path)
        if layer is None:
            errors.append(f"{path}: in no layer known to scripts/check_includes.py")
            continue
        allowed = list(ALLOWED[layer])
        for pattern, prefixes in exceptions.items():
            if file.relative_to(ROOT).match(pattern):
                used.add(pattern)
                allowed += prefixes
        checked += 1
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, system = match.groups()
            if system is not None:
                if layer == "src/draw" and system not in DRAW_SYSTEM:
                    errors.append(f"{path}:{number}: src/draw may not include <{system}>")
                if system.startswith("tokendraw/") and "tokendraw/" not in allowed:
                    errors.append(f"{path}:{number}: {layer} may not include <{system}>")
            elif ".." in quoted.split("/"):
                errors.append(f'{path}:{number}: "{quoted}" climbs out of its folder')
            elif any((ROOT / folder / quoted).exists() for folder in OUTSIDE.get(layer, [])):
                continue
            elif "/" in quoted and not any(quoted.startswith(prefix) for prefix in allowed):
                errors.append(f'{path}:{number}: {layer} may not include "{quoted}"')
            elif "/" not in quoted and not (file.parent / quoted).exists():
                errors.append(f'{path}:{number}: "{quoted}" is not in the same folder')
    for pattern in exceptions.keys() - used:
        errors.append(f"scripts/include_exceptions.txt: no file matches {pattern}")
    for error in errors:
        print(error, file=sys.stderr)
    print(f"check_includes: {checked} files, {len(errors)} errors")
    return 1 if errors or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
