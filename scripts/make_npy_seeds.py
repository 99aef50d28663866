#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed files of the fuzz target fuzz_npy to tests/fuzz/corpus/npy: one small file per format version, element
type and shape, and the near misses that a reader must refuse. Uses no NumPy."""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "corpus" / "npy"


def npy(header, data, version=(1, 0)):
    size = 2 if version[0] == 1 else 4
    text = header.encode("utf-8" if version[0] == 3 else "latin-1")
    text += b" " * (-(len(text) + 1 + 8 + size) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if size == 2 else "<I", len(text)) + text + data


def header(descr, shape, order="False"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


FLOATS = struct.pack("<6f", 0.5, -1.0, 2.0, 0.0, 1.5, -3.25)
HALVES = struct.pack("<6H", 0x3C00, 0xBC00, 0x4000, 0, 0x7C00, 0x3F80)
SEEDS = {
    "f32_matrix": npy(header("<f4", "(2, 3)"), FLOATS),
    "f32_vector": npy(header("<f4", "(6,)"), FLOATS),
    "f16_matrix": npy(header("<f2", "(3, 2)"), HALVES),
    "u16_matrix": npy(header("<u2", "(2, 3)"), HALVES),
    "v2_matrix": npy(header("|V2", "(2, 3)"), HALVES),
    "version_2": npy(header("<f4", "(2, 3)"), FLOATS, (2, 0)),
    "version_3": npy(header("<f4", "(2, 3)"), FLOATS, (3, 0)),
    "big_endian": npy(header(">f4", "(2, 3)"), FLOATS),
    "fortran_order": npy(header("<f4", "(2, 3)", "True"), FLOATS),
    "three_dimensions": npy(header("<f4", "(1, 2, 3)"), FLOATS),
    "no_elements": npy(header("<f4", "(0, 3)"), b""),
    "huge_shape": npy(header("<f4", "(4611686018427387904, 4)"), FLOATS),
    "data_too_short": npy(header("<f4", "(2, 3)"), FLOATS[:-1]),
    "data_too_long": npy(header("<f4", "(2, 3)"), FLOATS + b"\0"),
    "header_cut": npy(header("<f4", "(2, 3)"), b"")[:40],
}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.items():
        (FOLDER / f"{name}.npy").write_bytes(content)
    print(f"{len(SEEDS)} files in {FOLDER}")


if __name__ == "__main__":
    main()
