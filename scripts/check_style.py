#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what no formatter does: every source file names the licence near its top, ends with a newline, has no trailing
blanks, has a snake_case name, and is no longer than 400 lines unless scripts/long_files.txt gives a reason."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 400
ENDINGS = {".h", ".hpp", ".c", ".cpp", ".cu", ".py", ".sh", ".cmake"}
NAMED_OTHERWISE = {"CMakeLists.txt", "Makefile", "run"}  # also sources
VAGUE_NAMES = {"utils", "util", "common", "misc", "helpers"}


def read_reasons():
    reasons = {}
    for line in (ROOT / "scripts" / "long_files.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            path, _, reason = line.partition(":")
            reasons[path.strip()] = reason.strip()
    return reasons


def main():
    listed = subprocess.run([ROOT / "scripts" / "list_sources.sh"], check=True, capture_output=True, text=True).stdout
    reasons, errors, checked = read_reasons(), [], 0
    for path in map(pathlib.PurePosixPath, listed.splitlines()):
        if path.suffix not in ENDINGS and path.name not in NAMED_OTHERWISE:
            continue
        checked += 1
        text = (ROOT / path).read_text()
        lines = text.splitlines()
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2]):
            errors.append(f"{path}: no SPDX line at the top")
        if not text.endswith("\n"):
            errors.append(f"{path}: no newline at the end")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                errors.append(f"{path}:{number}: trailing blanks")
        if len(lines) > MAX_LINES and not reasons.get(str(path)):
            errors.append(f"{path}: {len(lines)} lines, more than {MAX_LINES}, without a reason in scripts/long_files.txt")
        if path.name not in NAMED_OTHERWISE:
            # Highway's name for a header that is included once per SIMD target, CMake's for its package file.
            stem = path.name.split(".")[0].removesuffix("-inl").replace("tokendraw-config", "tokendraw_config")
            if not re.fullmatch(r"[a-z0-9_]+", stem):
                errors.append(f"{path}: the name is not snake_case")
            if stem in VAGUE_NAMES:
                errors.append(f"{path}: name a file for a thing or a verb")
    for path in reasons:
        if not (ROOT / path).exists():
            errors.append(f"scripts/long_files.txt: {path} does not exist")
        elif len((ROOT / path).read_text().splitlines()) <= MAX_LINES:
            errors.append(f"scripts/long_files.txt: {path} is short enough, remove it")
    for error in errors:
        print(error, file=sys.stderr)
    print(f"check_style: {checked} files, {len(errors)} errors")
    return 1 if errors or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
