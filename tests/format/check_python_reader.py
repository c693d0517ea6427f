"""Compares format/python/vitrail_reader.py with the C++ reader.

check_python_reader.py PYTHON_CASES FOLDER [MUTANTS [SEED]]
    1. values: in containers of all kinds and element types, both find the same;
    2. tests/corpus and tests/museum: both accept and refuse as expected.txt says, with the same rule;
    3. mutants: files damaged at random, with checksums repaired so that the rules behind them are reached; both must
       give the same verdict at opening and at full verification.
FOLDER is emptied; what the readers disagree about is left there.
"""
import collections
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "format/python"))
import vitrail_reader as vr  # noqa: E402


def verdict(path, full):
    try:
        vr.Container(path, full)
        return "ok"
    except vr.VitrailError as error:
        return error.code


def values_of(field):
    """A value of the reader's tree as python_cases writes it."""
    if isinstance(field, dict):
        return {str(k): values_of(v) for k, v in field.items()}
    if isinstance(field, np.ndarray):
        return field.tolist()
    if isinstance(field, vr.Scalar):
        return {"type": field.type, "bits": field.bits, "object": ""}
    if isinstance(field, vr.Object):
        return {"elem_type": field.elem_type, "stride": field.stride, "body": field.body.hex()}
    return field


def compare_values(path):
    """Number of values compared."""
    with open(f"{path}.json", encoding="utf-8") as expected_file:
        expected = json.load(expected_file)
    file = vr.Container(path, full=True)
    assert vr.KINDS[file.kind] == expected["kind"] and vr.show(file.content_id) == expected["content_id"]
    root = {k: v for k, v in values_of(file.root).items() if k not in ("3", "4", "5", "6")}
    wanted = {k: v for k, v in expected["root"].items() if k not in ("3", "4", "5", "6")}
    assert root == wanted, f"{path.name}: metadata\n{root}\n{wanted}"
    assert len(file.tensors) == len(expected["tensors"])
    count = 0
    for tensor, want in zip(file.tensors, expected["tensors"]):
        array = file.tensor(tensor.name, tensor.role)
        assert not array.flags.writeable and not array.flags.owndata
        found = (tensor.name, tensor.role, list(tensor.shape), tensor.bits, vr.show(vr.hash128(array.tobytes())))
        assert found == (want["name"], want["role"], want["shape"], want["bits"], want["sum"]), f"{path.name}: {found}"
        elements = array.reshape(-1)[:4096 * 8 // max(8, tensor.bits)]
        if isinstance(want["elements"], str):
            assert elements.tobytes().hex() == want["elements"], f"{path.name}: {tensor}"
        else:
            assert elements.tolist() == want["elements"], f"{path.name}: {tensor}"
        count += elements.size
    assert len({id(t) for t in file.tensors}) == len(file.tensors)
    return count


def verdicts_of_both(binary, folder):
    """For each file of a folder: name, verdicts of C++ and of Python, at opening and at full verification."""
    out = subprocess.run([binary, "verdicts", folder], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        name, *cpp = line.split()
        yield name, cpp, [verdict(folder / name, full) for full in (False, True)]


def seal(data):
    """Makes the checksums of head and footer right again."""
    meta_bytes = min(struct.unpack_from("<Q", data, 32)[0], len(data) - 192)
    data[80:96] = vr.hash128(data[128:128 + meta_bytes])
    data[120:128] = struct.pack("<Q", vr.hash64(data[:120]))
    footer = b"VTLEND\r\n" + data[16:24] + data[96:112] + data[80:96] + data[120:128]
    data[-64:] = footer + struct.pack("<Q", vr.hash64(footer))


def derive_again(data, places):
    """Makes tensor hashes, role table and content id follow from the directory as it stands, as far as that goes."""
    entries = np.frombuffer(data, vr.ENTRY, places.count, places.entries).copy()
    identity, rows, first = b"", [], 0
    for i, entry in enumerate(entries):
        offset, size = int(entry["offset"]), int(entry["bytes"])
        if size > vr.CHUNK or entry["name"] >= len(places.names) or entry["rank"] > 8:
            return
        entry["hash"] = vr.hash128(bytes(data[offset:offset + size]))
        name = places.names[entry["name"]].encode()
        identity += struct.pack("<HBBI", entry["role"], entry["type"], entry["rank"], len(name)) + name
        identity += entry["extents"][:entry["rank"]].tobytes() + bytes(entry["hash"])
        if i + 1 == len(entries) or entries[i + 1]["role"] != entry["role"]:
            hashes = b"".join(bytes(e["hash"]) for e in entries[first:i + 1])
            rows.append(struct.pack("<HHIIIQQ", entry["role"], 0, first, i + 1 - first, 0, entries[first]["offset"],
                                    offset + size & (1 << 64) - 1) + vr.hash128(hashes))
            first = i + 1
    data[places.entries:places.entries + entries.nbytes] = entries.tobytes()
    if len(rows) == places.roles_count:
        data[places.roles:places.roles + 48 * len(rows)] = b"".join(rows)
    data[96:112] = vr.hash128(identity)


class Places:
    """Where things stand in a good file."""

    def __init__(self, path):
        file = vr.Container(path)
        self.bytes, self.names, self.count = bytes(file.data), file.names, len(file.tensors)
        self.meta_end, self.data_offset = 128 + file.meta_bytes, file.data_offset
        root = {r[0]: r[4] for r in struct.iter_unpack("<HBBIQ", self.bytes[144:128 + self.word(140)])}
        self.entries, self.roles = 144 + root[4], 144 + root[6]
        self.roles_count = self.word(128 + root[6] + 4)

    def word(self, offset):
        return struct.unpack_from("<I", self.bytes, offset)[0]


def mutant(rng, places):
    data = bytearray(places.bytes)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        region = rng.random()
        if region < 0.1:
            at = rng.randrange(8, 120)
        elif region < 0.5:
            at = rng.randrange(128, places.meta_end)
        elif region < 0.8 and places.count:
            at = places.entries + rng.randrange(128 * places.count)
        elif region < 0.9:
            at = rng.randrange(places.meta_end, len(data) - 64)
        else:
            at = rng.randrange(len(data) - 8)
        action = rng.randrange(6)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.choice((0, 1, 2, 127, 128, 255, rng.randrange(256)))
        elif action == 2:
            data[at] = data[at] + rng.choice((-1, 1)) & 255
        else:  # a whole number, where one may stand
            at, size = at & ~7, rng.choice((2, 4, 8))
            at += size * rng.randrange(8 // size)
            old = int.from_bytes(data[at:at + size], "little")
            new = (old + rng.choice((-8, 8, 16, 64, 4096)), rng.getrandbits(8 * size), old ^ 1 << rng.randrange(8 * size),
                   int.from_bytes(rng.choice((data[at - 16:at - 16 + size], data[at - 128:at - 128 + size])), "little"))
            data[at:at + size] = (rng.choice(new) & (1 << 8 * size) - 1).to_bytes(size, "little")
    repair = rng.random()
    if repair > 0.5:
        derive_again(data, places)
    if repair > 0.1:
        seal(data)
    if rng.random() < 0.02:
        data = data[:rng.randrange(len(data))] if rng.random() < 0.5 else data + bytes(rng.choice((1, 4096)))
    return bytes(data)


def compare_mutants(binary, folder, seeds, count, seed):
    rng = random.Random(seed)
    tally, disagreements = collections.Counter(), []
    folder.mkdir()
    seeds = [Places(path) for path in seeds]
    for batch in range(0, count, 1000):
        for i in range(batch, min(batch + 1000, count)):
            (folder / f"{i:07}.vitrail").write_bytes(mutant(rng, rng.choice(seeds)))
        for name, cpp, python in verdicts_of_both(binary, folder):
            tally[cpp[1]] += 1
            if cpp == python:
                (folder / name).unlink()
            else:
                disagreements.append(f"{folder / name}.differs: C++ {cpp}, Python {python}")
                (folder / name).rename(folder / (name + ".differs"))
    print(f"mutants: {count}, verdicts", dict(sorted(tally.items())))
    return disagreements


def compare_examples(binary):
    expected = dict(line.split() for line in (ROOT / "tests/corpus/expected.txt").read_text().splitlines())
    wrong, seen = [], 0
    for name, cpp, python in verdicts_of_both(binary, ROOT / "tests/corpus"):
        seen += 1
        if cpp != python or cpp[1] != expected.get(name):
            wrong.append(f"{name}: expected {expected.get(name)}, C++ {cpp}, Python {python}")
    assert seen == len(expected) > 0, f"{seen} files, {len(expected)} in expected.txt"
    museum = list(verdicts_of_both(binary, ROOT / "tests/museum"))
    wrong += [f"{name}: C++ {cpp}, Python {python}" for name, cpp, python in museum if cpp != python or "ok" not in cpp]
    print(f"corpus: {seen} files; museum: {len(museum)}")
    return wrong


def main():
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    count, seed = int((sys.argv[3:] or [2000])[0]), int((sys.argv[4:] or [1])[0])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([binary, "write", folder], check=True)
    files = sorted(folder.glob("*.vitrail"))
    print(f"values: {sum(map(compare_values, files))} in {len(files)} files")
    broken = [(n, c, p) for n, c, p in verdicts_of_both(binary, folder / "broken") if c != p]
    print(f"broken sets: {len(list((folder / 'broken').iterdir()))}")
    disagreements = [f"broken/{n}: C++ {c}, Python {p}" for n, c, p in broken]
    disagreements += compare_examples(binary)
    seeds = [f for f in files if f.stat().st_size < 1 << 18] + [folder / "broken/000.vitrail"]
    seeds += sorted((ROOT / "tests/corpus").glob("ok-*.vitrail"))
    disagreements += compare_mutants(binary, folder / "mutants", seeds, count, seed)
    print(*disagreements[:1000], sep="\n")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
