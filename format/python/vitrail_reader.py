"""Reads and verifies .vitrail files, version 1 of the format (SPEC.md in the folder above; "V08" is a rule of its
section 7). A second implementation, made from that page alone.

    import vitrail_reader
    with vitrail_reader.Container("last.vitrail") as file:
        file.root[8][9]                          # the tree of sections: schedule, steps done
        file["head.weight"]                      # a parameter: read-only array that shares the mapped file's memory
        file.tensor("head.weight", role=16)      # its first moment

On the command line: python -m vitrail_reader FILE [--full] [--json]. Exit code 4: the file is damaged or none.
"""
import argparse
import itertools
import json
import math
import mmap
import os
import struct
import sys
from dataclasses import dataclass

import numpy as np
import xxhash

MAGIC = b"\x89VTL\r\n\x1a\n"
KINDS = {1: "weights", 2: "model", 3: "checkpoint", 4: "shard", 5: "shard index"}
ROLES = {0: "parameter", 1: "buffer", 2: "EMA parameter", 3: "EMA buffer", 16: "first moment", 17: "second moment",
         18: "largest second moment", 19: "momentum", 20: "master weight", 32: "accumulated gradient"}
# Element types: name, bits, the numpy type of a view. Types unknown to numpy are shown as their bits, those of half a
# byte two by two.
TYPES = {1: ("bool", 8, "?"), 2: ("u8", 8, "u1"), 3: ("i8", 8, "i1"), 4: ("u16", 16, "<u2"), 5: ("i16", 16, "<i2"),
         6: ("u32", 32, "<u4"), 7: ("i32", 32, "<i4"), 8: ("u64", 64, "<u8"), 9: ("i64", 64, "<i8"),
         16: ("f16", 16, "<f2"), 17: ("bf16", 16, "<u2"), 18: ("f32", 32, "<f4"), 19: ("f64", 64, "<f8"),
         24: ("f8_e4m3fn", 8, "u1"), 25: ("f8_e5m2", 8, "u1"), 26: ("f8_e4m3fnuz", 8, "u1"),
         27: ("f8_e5m2fnuz", 8, "u1"), 28: ("f8_e8m0fnu", 8, "u1"), 32: ("c64", 64, "<c8"), 33: ("c128", 128, "<c16"),
         40: ("i4", 4, "u1"), 41: ("u4", 4, "u1"), 42: ("f4_e2m1", 4, "u1")}
# Elements of a vector: bytes and numpy type.
ELEMENTS = {1: (1, "u1"), 2: (2, "<u2"), 3: (4, "<u4"), 4: (8, "<u8"), 5: (1, "i1"), 6: (2, "<i2"), 7: (4, "<i4"),
            8: (8, "<i8"), 9: (4, "<f4"), 10: (8, "<f8")}
ENTRY = np.dtype([("name", "<u4"), ("role", "<u2"), ("type", "u1"), ("rank", "u1"), ("flags", "<u4"), ("link", "<u4"),
                  ("offset", "<u8"), ("bytes", "<u8"), ("extents", "<u8", 8), ("hash", "V16"), ("first_chunk", "<u4"),
                  ("chunks", "<u4"), ("reserved", "<u8")])
CHUNK = 4 << 20
MIB = 1 << 20
TABLES = {2: "table", 13: "table"}
REQUIRED = {2: TABLES, 3: {**TABLES, 7: "table", 8: "table", 10: "vector", 11: "table"}}  # sections by kind of file


class VitrailError(Exception):
    """A file refused: `code` is the rule it breaks ("V08"), the text says what is wrong."""

    def __init__(self, code, message):
        super().__init__(f"{message} [{code}]")
        self.code = code


@dataclass(frozen=True)
class Scalar:
    """A scalar of a type that a later version brought: its 64 bits."""
    type: int
    bits: int


@dataclass(frozen=True)
class Object:
    """An object as it stands: a vector of structs, or of a kind or type that a later version brought."""
    field_type: int
    kind: int
    elem_type: int
    count: int
    stride: int
    body: memoryview


@dataclass(frozen=True)
class Tensor:
    """One entry of the directory; shape in elements."""
    name: str
    role: int
    type: str
    shape: tuple
    offset: int
    bytes: int
    hash: bytes
    first_chunk: int
    chunks: int
    owner: "Tensor"  # whose bytes an alias shares; else None
    bits: int  # of an element; None for a type of a later version
    dtype: str

    def __str__(self):
        return f"{self.name} ({ROLES.get(self.role, f'role {self.role}')})"


def align(x, a):
    return -(-x // a) * a


def hash64(data):
    return xxhash.xxh3_64_intdigest(data)


def hash128(data):
    return xxhash.xxh3_128_intdigest(data).to_bytes(16, "little")  # the low word first


def show(digest):
    return digest[::-1].hex()


def require(condition, code, message):
    if not condition:
        raise VitrailError(code, message)


class Message:
    """The metadata block, read in one pass; `root` is its tree, a dict of field values for each table."""

    def __init__(self, block):
        self.block, self.end, self.objects = block, 0, 0
        self.root = self.read(None, 1)
        self.padding(align(self.end, 8))
        require(align(self.end, 8) == len(block), "V17", f"metadata: the last object ends at {self.end}")

    def padding(self, end):
        require(not any(self.block[self.end:end]), "V15", f"metadata: bytes behind the object that ends at {self.end}")

    def read(self, field_type, depth):
        """The object at the only place where it may stand; field_type is that of the field, None for the root."""
        start, block = align(self.end, 8), self.block
        self.padding(start)
        self.objects += 1
        require(self.objects <= 1 << 20, "V16", "metadata: more than 1,048,576 objects")
        require(start + 16 <= len(block), "V10", f"metadata: object at {start} begins behind the end")
        kind, elem_type, count, stride, total = struct.unpack_from("<HHIII", block, start)
        require(16 <= total <= len(block) - start, "V10", f"metadata: object at {start} with {total} bytes")
        self.end, body = start + total, total - 16
        fits = {0: False, 1: elem_type == 0 and stride == 16 and body == 16 * count,
                2: stride >= 1 and body == count * stride, 3: elem_type == 0 and stride == 4 and body >= 4 * count}
        require(fits.get(kind, True), "V10", f"metadata: head of the object at {start} contradicts itself")
        matches = {None: kind == 1, 16: kind == 1, 17: kind == 2 and elem_type != 33, 18: kind == 3,
                   19: kind == 2 and elem_type == 33 and stride == 1}
        require(matches.get(field_type, kind != 1), "V13", f"metadata: object at {start} is not what its field says")
        if kind == 1:
            return self.table(start + 16, count, depth)
        data = block[start + 16:self.end]
        if field_type == 18:
            return strings(data, count, start)
        if field_type == 19:
            return text(bytes(data), start)
        size, dtype = ELEMENTS.get(elem_type, (0, None))
        numbers = field_type == 17 and stride == size
        return np.frombuffer(data, dtype) if numbers else Object(field_type, kind, elem_type, count, stride, data)

    def table(self, start, count, depth):
        require(depth <= 8, "V16", "metadata: more than 8 tables inside one another")
        require(count <= 1024, "V16", f"metadata: a table with {count} fields")
        fields, last = {}, -1
        for number, field_type, flags, zero, value in struct.iter_unpack("<HBBIQ", self.block[start:start + 16 * count]):
            require(number > last and flags <= 1 and zero == 0, "V12", f"metadata: field {number} of the table at {start}")
            require(flags == 0, "V18", f"field {number} must be understood, and this reader does not know it")
            require(1 <= field_type <= 31, "V13", f"metadata: field {number} has type {field_type}")
            last = number
            if field_type >= 16:
                at = align(self.end, 8)
                require(value == at, "V11", f"metadata: object of field {number} at {value}, not at {at}")
                fields[number] = self.read(field_type, depth + 1)
            elif field_type == 4:
                require(value <= 1, "V13", f"metadata: field {number} is a bool of {value}")
                fields[number] = bool(value)
            elif field_type <= 3:
                fields[number] = struct.unpack("<" + " Qqd"[field_type], struct.pack("<Q", value))[0]
            else:
                fields[number] = Scalar(field_type, value)
        return fields


def text(data, where):
    require(len(data) <= MIB, "V16", f"metadata: a text of {len(data)} bytes at {where}")
    require(0 not in data, "V14", f"metadata: NUL in the text at {where}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise VitrailError("V14", f"metadata: the text at {where} is not UTF-8") from None


def strings(data, count, where):
    characters, begin, found = bytes(data[4 * count:]), 0, []
    for end in np.frombuffer(data[:4 * count], "<u4").tolist():
        require(begin <= end <= len(characters), "V14", f"metadata: ends of the strings at {where}")
        found.append(text(characters[begin:end], where))
        begin = end
    require(begin == len(characters), "V14", f"metadata: characters behind the strings at {where}")
    return found


class Container:
    """A file, checked at level "open" (V01 to V33) and mapped; with full=True everything is checked. Tensors are checked
    before they are first handed out. Raises VitrailError, or OSError where there is no file to read."""

    def __init__(self, path, full=False):
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            require(file.read(8) == MAGIC, "V02", "not a .vitrail file")
            require(size >= 4096, "V01", f"{size} bytes are too few")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data = memoryview(self.map)
        self.verified = set()
        self._prologue(size)
        self.root = Message(self.data[128:128 + self.meta_bytes]).root
        self._directory()
        if full:
            self.verify()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Arrays that share the file's memory keep it mapped."""
        self.data = self.map = None

    def _prologue(self, size):
        head = self.data[:128]
        require(hash64(head[:120]) == int.from_bytes(head[120:], "little"), "V03", "prologue: hash")
        (major, self.minor, length, file_bytes, meta_offset, self.meta_bytes, self.data_offset, data_bytes, features,
         self.optional_features, kind, hash_alg) = struct.unpack_from("<HHIQQQQQQQII", head, 8)
        self.meta_hash, self.content_id, reserved = bytes(head[80:96]), bytes(head[96:112]), any(head[112:120])
        require(major == 1, "V04", f"format {major} file; this reader reads format 1")
        require(file_bytes == size, "V01", f"{size} bytes, {file_bytes} expected")
        require(length == 128 and meta_offset == 128 and hash_alg == 1 and file_bytes % 4096 == 0
                and self.meta_bytes % 8 == 0 and self.meta_bytes <= min(256 * MIB, file_bytes - 192)
                and self.data_offset == align(128 + self.meta_bytes, 4096)
                and self.data_offset + data_bytes == file_bytes - 64 and kind in KINDS
                and not (reserved and self.minor == 0), "V05", "prologue: fixed fields")
        require(features == 0, "V06", f"required features {features:#x} are unknown")
        self.kind, end = kind, self.data_offset
        foot = self.data[file_bytes - 64:]
        require(foot[:8] == b"VTLEND\r\n" and hash64(foot[:56]) == int.from_bytes(foot[56:], "little")
                and foot[8:16] == head[16:24] and foot[16:32] == head[96:112] and foot[32:48] == head[80:96]
                and foot[48:56] == head[120:], "V07", "footer: the file was not finished, or is damaged")
        meta_end = 128 + self.meta_bytes
        found = hash128(self.data[128:meta_end])
        require(found == self.meta_hash, "V08", f"metadata: hash {show(found)}, not {show(self.meta_hash)}")
        require(not any(self.data[meta_end:end]), "V09", "bytes behind the metadata")

    def _directory(self):
        root, newer = self.root, self.minor > 0
        require(isinstance(root.get(1), str), "V20", "root field 1, producer: no text")
        require(isinstance(root.get(3), list), "V20", "root field 3, names: no strings")
        self.producer, self.names = root[1], root[3]
        rows = structs(root, 4, ENTRY.itemsize, "V20", newer)
        self.chunk_hashes = structs(root, 5, 16, "V20").tobytes()
        roles = structs(root, 6, 48, "V20", newer)
        entries = np.ascontiguousarray(rows[:, :ENTRY.itemsize]).view(ENTRY).reshape(-1)
        require(len(entries) <= 1 << 20, "V20", f"{len(entries)} tensors")
        names = check_names(self.names)
        self.tensors, used, chunks, cursor, last, identity = [], set(), 0, self.data_offset, (-1, -1), []
        for entry in entries:
            tensor = self._entry(entry, last, chunks, cursor)
            last = tensor.role, int(entry["name"])
            used.add(last[1])
            if tensor.owner is None:
                cursor, chunks = tensor.offset + tensor.bytes, chunks + tensor.chunks
            self.tensors.append(tensor)
            name = names[last[1]]
            identity.append(struct.pack("<HBBI", tensor.role, entry["type"], len(tensor.shape), len(name)) + name
                            + struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape) + tensor.hash)
        require(len(used) == len(names), "V21", "a name without a tensor")
        require(len(self.chunk_hashes) == 16 * chunks, "V27", f"{len(self.chunk_hashes) // 16} chunks, not {chunks}")
        require(len(self.data) == align(cursor + 64, 4096), "V26", f"the tensors end at {cursor}")
        found = hash128(b"".join(identity))
        require(found == self.content_id, "V30", f"content id {show(self.content_id)}, not {show(found)}")
        check_roles(roles, self.tensors, newer)
        self.by_key = {(t.name, t.role): t for t in self.tensors}
        self._sections()

    def _entry(self, entry, last, chunks, cursor):
        """One tensor of the directory; last, chunks, cursor: what the entries before it come to."""
        index, role, kind, rank, flags, link, offset, size, first_chunk, count, reserved = (
            int(entry[k]) for k in ("name", "role", "type", "rank", "flags", "link", "offset", "bytes", "first_chunk",
                                    "chunks", "reserved"))
        require(index < len(self.names), "V21", f"a tensor with name {index} of {len(self.names)}")
        name = self.names[index]
        require((role, index) > last, "V22", f"{name}: out of order")
        require(flags <= 1 and (flags == 1 or link == 0), "V28", f"{name}: flags {flags}, link {link}")
        require(reserved == 0 or self.minor > 0, "V05", f"{name}: reserved bytes")
        shape = check_shape(name, rank, entry["extents"].tolist())
        require(kind in TYPES or self.minor > 0, "V23", f"{name}: element type {kind}")
        type_name, bits, dtype = TYPES.get(kind, (f"type {kind}", None, None))
        expected = size if bits is None else byte_count(name, bits, shape)
        require(size == expected and size <= 1 << 50, "V24", f"{name}: {size} bytes for {shape} {type_name}")
        found = Tensor(name, role, type_name, shape, offset, size, bytes(entry["hash"]), first_chunk, count,
                       self.tensors[link] if flags and link < len(self.tensors) else None, bits, dtype)
        if flags:
            require(found.owner and found.owner.owner is None and all(
                getattr(found, k) == getattr(found.owner, k)
                for k in ("role", "type", "offset", "bytes", "hash", "first_chunk", "chunks"))
                and math.prod(shape) == math.prod(found.owner.shape), "V28", f"{name}: not like the owner of its bytes")
            return found
        require(offset == align(cursor, 4096 if size >= 65536 else 64) and offset + size <= len(self.data) - 64, "V25",
                f"{name}: offset {offset}")
        require(first_chunk == chunks and count == (-(-size // CHUNK) if size > CHUNK else 0), "V27",
                f"{name}: chunk numbers")
        return found

    def _sections(self):
        """V31 to V33."""
        kind = self.kind
        if kind == 4:
            check_shard(self.root, self.tensors)
        if kind == 5:
            require(not self.tensors, "V31", "an index with tensors of its own")
            kind = check_index(self.root)
        for number, wanted in REQUIRED.get(kind, {}).items():
            value = self.root.get(number)
            vector = isinstance(value, np.ndarray) or isinstance(value, Object) and value.field_type == 17
            require(vector if wanted == "vector" else isinstance(value, dict), "V33",
                    f"{KINDS[kind]}: root field {number}: no {wanted}")
        if self.kind == 3:
            self._check_optimizer()

    def _check_optimizer(self):
        groups, seen = self.root[7].get(7, {}), set()
        require(isinstance(groups, dict) and all(isinstance(g, dict) for g in groups.values()), "V32",
                "optimizer groups: no tables")
        for indices in (group[3] for group in groups.values() if 3 in group):
            require(isinstance(indices, np.ndarray) and indices.dtype == np.dtype("<u8"), "V32",
                    "names of an optimizer group: no vector of u64")
            for index in indices.tolist():
                require(index < len(self.names) and (self.names[index], 0) in self.by_key and index not in seen, "V32",
                        f"an optimizer group names {index}, which is no parameter, or one twice")
                seen.add(index)
        for tensor in self.tensors:
            if 16 <= tensor.role <= 19:
                parameter = self.by_key.get((tensor.name, 0))
                require(parameter and parameter.shape == tensor.shape, "V32", f"{tensor}: not as its parameter")

    def verify(self):
        """Everything that opening leaves out: V40 to V42 for all tensors."""
        cursor = self.data_offset
        for tensor in (t for t in self.tensors if t.owner is None):
            require(not any(self.data[cursor:tensor.offset]), "V41", f"bytes before {tensor}")
            self.check(tensor)
            cursor = tensor.offset + tensor.bytes
        require(not any(self.data[cursor:len(self.data) - 64]), "V41", "bytes behind the last tensor")

    def check(self, tensor):
        """V40 and V42 for one tensor, once."""
        if tensor in self.verified:
            return
        data = self.data[tensor.offset:tensor.offset + tensor.bytes]
        for i in range(tensor.chunks):
            expected = bytes(self.chunk_hashes[16 * (tensor.first_chunk + i):][:16])
            found = hash128(data[i * CHUNK:(i + 1) * CHUNK])
            require(found == expected, "V40", f"{tensor}: chunk {i}: hash {show(found)}, not {show(expected)}")
        hashed = self.chunk_hashes[16 * tensor.first_chunk:][:16 * tensor.chunks] if tensor.chunks else data
        found = hash128(hashed)
        require(found == tensor.hash, "V40", f"{tensor}: hash {show(found)}, not {show(tensor.hash)}")
        require(tensor.type != "bool" or not np.any(np.frombuffer(data, "u1") > 1), "V42", f"{tensor}: a bool above 1")
        self.verified.add(tensor)

    def tensor(self, name, role=0):
        """A verified read-only array over the mapped file. bf16, f8 and 4-bit types come as their bits, two elements of
        4 bits in a byte; `find` has the type's name. Raises KeyError where there is no such tensor."""
        tensor = self.find(name, role)
        require(tensor.bits, "V23", f"{tensor}: elements of a later version, {tensor.type}")
        self.check(tensor)
        shape = tensor.shape if tensor.bits >= 8 else (*tensor.shape[:-1], tensor.shape[-1] // 2)
        return np.frombuffer(self.data[tensor.offset:tensor.offset + tensor.bytes], tensor.dtype).reshape(shape)

    __getitem__ = tensor

    def find(self, name, role=0):
        return self.by_key[name, role]


def structs(table, number, stride, code, may_grow=False):
    """The rows of a vector of structs, as a matrix of bytes; of a later version perhaps longer ones."""
    value = table.get(number)
    require(isinstance(value, Object) and value.field_type == 17 and value.elem_type == 32 and
            (value.stride == stride or may_grow and value.stride > stride), code,
            f"field {number}: no structs of {stride} bytes")
    return np.frombuffer(value.body, "u1").reshape(value.count, value.stride)


def check_names(names):
    encoded = [name.encode() for name in names]
    require(len(names) <= 1 << 20 and all(1 <= len(name) <= 1024 for name in encoded)
            and all(a < b for a, b in zip(encoded, encoded[1:])), "V21", "names: number, length or order")
    return encoded


def check_shape(name, rank, extents, code="V23"):
    require(rank <= 8 and not any(extents[rank:]) and max(extents) <= 1 << 48, code, f"{name}: rank {rank}, {extents}")
    elements = 1
    for extent in extents[:rank]:
        elements *= extent
        require(elements <= 1 << 48, code, f"{name}: shape {extents}")
    return tuple(extents[:rank])


def byte_count(name, bits, shape):
    """Bytes of a dense tensor; two elements of 4 bits share one, and none reaches into the next row."""
    require((bits >= 8 or shape and shape[-1] % 2 == 0) and math.prod(shape) * bits <= 1 << 53, "V23",
            f"{name}: shape {shape} for elements of {bits} bits")
    return math.prod(shape) * bits // 8


def check_roles(rows, tensors, newer):
    first = row = 0
    while first < len(tensors):
        last = first
        while last < len(tensors) and tensors[last].role == tensors[first].role:
            last += 1
        require(row < len(rows), "V29", "roles: too few rows")
        group = tensors[first:last]
        end = [t.offset + t.bytes for t in group if t.owner is None][-1]
        found = bytearray(rows[row, :48].tobytes())
        if newer:
            found[2:4], found[12:16] = bytes(2), bytes(4)
        expected = struct.pack("<HHIIIQQ", group[0].role, 0, first, len(group), 0, group[0].offset, end)
        require(found == expected + hash128(b"".join(t.hash for t in group)), "V29", f"roles: row {row}")
        first, row = last, row + 1
    require(row == len(rows), "V29", "roles: too many rows")


def integer(table, number, least, most):
    value = table.get(number)
    require(type(value) is int and least <= value <= most, "V31", f"shard set: field {number}")
    return value


def slice_rows(root):
    """Field 16 as tuples: tensor, shard, extents, start."""
    rows = [struct.unpack("<II8Q8QQ", row.tobytes()) for row in structs(root, 16, 144, "V31")]
    require(all(row[18] == 0 for row in rows), "V31", "slices: reserved bytes")
    return [(row[0], row[1], row[2:10], row[10:18]) for row in rows]


def check_shard(root, tensors):
    require(isinstance(root.get(17), dict), "V31", "shard set: no table")
    shard = integer(root[17], 2, 0, integer(root[17], 1, 1, 1 << 16) - 1)
    rows = slice_rows(root)
    require(len(rows) == len(tensors), "V31", f"{len(rows)} slices of {len(tensors)} tensors")
    for i, (tensor, (index, number, extents, start)) in enumerate(zip(tensors, rows)):
        require(index == i and number == shard and tensor.owner is None, "V31", f"{tensor}: of another entry or shard")
        check_shape(tensor.name, len(tensor.shape), extents, "V31")
        local = tensor.shape + (0,) * (8 - len(tensor.shape))
        require(all(s + n <= whole for s, n, whole in zip(start, local, extents)), "V31", f"{tensor}: outside the whole")


def check_index(root):
    """The kind of file that the set makes."""
    table = root.get(17)
    require(isinstance(table, dict), "V31", "shard set: no table")
    kind, shards = integer(table, 3, 1, 3), integer(table, 1, 1, 1 << 16)
    files, names, sizes = table.get(4), table.get(7), table.get(5)
    require(isinstance(files, list) and isinstance(sizes, np.ndarray) and sizes.dtype == np.dtype("<u8") and
            len(files) == len(sizes) == len(structs(table, 6, 16, "V31")) == shards, "V31", "shard set: files")
    require(all(1 <= len(f.encode()) <= 255 and f not in (".", "..") and "/" not in f for f in files), "V31",
            "shard set: name of a file")
    tensors = [struct.unpack("<HBBI8Q", row.tobytes()) for row in structs(table, 8, 72, "V31")]
    require(isinstance(names, list) and len(names) == len(tensors) <= 1 << 20, "V31", "shard set: names")
    require(9 not in table or len(structs(table, 9, 16, "V31")) == 1, "V31", "shard set: content id")
    cells = [[] for _ in tensors]
    rows = slice_rows(root)
    require(all(a[0] <= b[0] for a, b in zip(rows, rows[1:])) and all(row[0] < len(tensors) for row in rows), "V31",
            "slices: order of tensors")
    for row in rows:
        cells[row[0]].append(row[1:])
    last = (-1, b"")
    for i, (name, (role, element, rank, owner, *extents)) in enumerate(zip(names, tensors)):
        key = (role, name.encode())
        require(key > last and 1 <= len(key[1]) <= 1024 and element in TYPES, "V31", f"{name}: order, name or type")
        last, shape = key, check_shape(name, rank, extents, "V31")
        if owner != 0xFFFFFFFF:
            require(owner < i and not cells[i] and tensors[owner][:2] == (role, element) and
                    tensors[owner][3] == 0xFFFFFFFF and math.prod(tensors[owner][4:4 + tensors[owner][2]])
                    == math.prod(shape), "V31", f"{name}: not like the owner of its bytes")
        else:
            check_cells(name, shape, TYPES[element][1], cells[i], shards)
    return kind


def check_cells(name, shape, bits, cells, shards):
    """Whether the cells of one tensor are those of a grid, in order, each in another shard."""
    numbers = [cell[0] for cell in cells]
    require(max(numbers, default=0) < shards and len(set(numbers)) == len(numbers), "V31", f"{name}: shards of slices")
    cuts = [sorted({(start[a], extents[a]) for _, extents, start in cells}) for a in range(len(shape))]
    for axis, edges in enumerate(cuts):
        at = 0
        for start, extent in edges:
            require(start == at and (extent > 0 or 0 in shape), "V31", f"{name}: slices do not cover axis {axis} once")
            at += extent
        require(at == shape[axis] and (len(edges) == 1 or 0 not in shape), "V31", f"{name}: slices and axis {axis}")
    require(len(cells) == math.prod(map(len, cuts)), "V31", f"{name}: slices are no grid")
    grid = [tuple(zip(*cell)) or ((), ()) for cell in itertools.product(*cuts)]
    pad = (0,) * (8 - len(shape))
    require([(start, extents) for _, extents, start in cells] == [(s + pad, e + pad) for s, e in grid], "V31",
            f"{name}: slices are no grid")
    require(bits >= 8 or shape and all(e[-1] % 2 == 0 for _, e in grid), "V31", f"{name}: a slice cuts a byte")


def plain(value):
    """A value of the tree as JSON has it; what JSON cannot hold is described."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Object):
        return {"type": value.field_type, "kind": value.kind, "elem_type": value.elem_type, "count": value.count, "stride": value.stride,
                "body": value.body.hex()}
    if isinstance(value, Scalar):
        return {"type": value.type, "bits": value.bits}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe(file):
    """What `main` prints of a file, for JSON; fields 3 to 6 of the root are told as tensors."""
    tensors = [{"name": t.name, "role": t.role, "type": t.type, "shape": t.shape, "offset": t.offset, "bytes": t.bytes,
                "hash": show(t.hash)} for t in file.tensors]
    return {"kind": KINDS[file.kind], "minor": file.minor, "content_id": show(file.content_id), "tensors": tensors,
            "root": {k: v for k, v in plain(file.root).items() if k not in ("3", "4", "5", "6")}}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="vitrail_reader", description="Verifies and lists a .vitrail file.")
    parser.add_argument("file")
    parser.add_argument("--full", action="store_true", help="verify the tensors too")
    parser.add_argument("--json", action="store_true", help="everything but the tensors' data, as JSON")
    args = parser.parse_args(arguments)
    try:
        report = describe(Container(args.file, args.full))
    except VitrailError as error:
        print(json.dumps({"code": error.code, "error": str(error)}) if args.json else f"{args.file}: {error}",
              file=sys.stdout if args.json else sys.stderr)
        return 4
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report, allow_nan=False))
        return 0
    for tensor in report["tensors"]:
        print(f"{ROLES.get(tensor['role'], tensor['role']):<22} {tensor['type']:<11} {tensor['shape']!s:<22} "
              f"{tensor['name']}")
    print(f"{args.file}: {report['kind']}, content {report['content_id']}, {'everything' if args.full else 'metadata'} verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
