"""Rule V31: the sections of shards and indexes (SPEC.md, section 9)."""
import itertools
import math
import struct

import numpy as np

from vitrail_format import TYPES, check_shape, require, structs


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
        require(all(s + n <= whole for s, n, whole in zip(start, local, extents)), "V31",
                f"{tensor}: outside the whole")


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
