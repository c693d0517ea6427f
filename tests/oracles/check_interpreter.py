"""The reference interpreter's operators, one by one at odd shapes, beside onnxruntime.

check_interpreter.py write FOLDER
    random graphs of one operator each, for `interpret`.
check_interpreter.py compare FOLDER
    its results with onnxruntime's: f32 to 1e-5, f16 to a step of f16, integers exactly.
check_interpreter.py seeds FOLDER
    one small graph of each operator, as seeds of the fuzzer.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROUNDS = 4
MS = "com.microsoft"


class Case:
    """A graph of one node: arrays are inputs, arrays in `constants` initialisers."""

    def __init__(self, op, inputs, constants=None, outputs=1, opset=17, domain="", **attributes):
        self.inputs = {name: value for name, value in inputs.items() if name not in (constants or [])}
        self.constants = {name: value for name, value in inputs.items() if name in (constants or [])}
        names = [name if value is not None else "" for name, value in inputs.items()]
        outs = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
        self.outputs = [name for name in outs if name]
        node = helper.make_node(op, names, outs, name="node", domain=domain, **attributes)
        self.inputs = {name: value for name, value in self.inputs.items() if value is not None}
        describe = lambda name, value: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        graph = helper.make_graph([node], "case", [describe(*entry) for entry in self.inputs.items()],
                                  [helper.make_empty_tensor_value_info(name) for name in self.outputs],
                                  [numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(MS, 1)] if domain else [])
        self.model = helper.make_model(graph, opset_imports=imports, ir_version={17: 8, 18: 8, 20: 9, 23: 10, 24: 10}[opset])

    def run(self):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(self.outputs, self.inputs)

    def declare(self, results):
        for info, result in zip(self.model.graph.output, results):
            info.CopyFrom(helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(result.dtype), result.shape))


def cases(random):
    """(name, Case) of every operator; shapes are drawn anew on every call."""
    ext = lambda low=1, high=7: int(random.integers(low, high + 1))
    f32 = lambda *dims: random.normal(0, 1.5, dims).astype(np.float32)
    f16 = lambda *dims: random.normal(0, 1.5, dims).astype(np.float16)
    u8 = lambda *dims: random.integers(0, 256, dims).astype(np.uint8)
    i8 = lambda *dims: random.integers(-128, 128, dims).astype(np.int8)
    i64 = lambda *numbers: np.array(numbers, np.int64)
    a, b, c, d = ext(), ext(), ext(), ext()
    for op in ("Add", "Sub", "Mul", "Div"):
        yield op, Case(op, {"a": f32(a, b, 1, d), "b": f32(b, c, d)})
        yield op + ".scalar", Case(op, {"a": f32(a, b), "b": np.array(1.75, np.float32)})
        yield op + ".int64", Case(op, {"a": random.integers(-50, 50, (a, b)), "b": random.integers(1, 9, (a, 1))})
    yield "Add.f16", Case("Add", {"a": f16(a, b), "b": f16(b)})
    for op in ("Erf", "Tanh", "Sigmoid", "Floor"):
        yield op, Case(op, {"x": 2 * f32(a, b, c)})
    yield "Gelu", Case("Gelu", {"x": 2 * f32(a, b, c)}, opset=20)
    yield "Gelu.tanh", Case("Gelu", {"x": 2 * f32(a, b, c)}, opset=20, approximate="tanh")
    yield "Swish", Case("Swish", {"x": f32(a, b)}, opset=24, alpha=1.702)
    yield "Clip", Case("Clip", {"x": 100 * f32(a, b), "low": np.array(0, np.float32), "high": np.array(99, np.float32)})
    yield "Gelu.ms", Case("Gelu", {"x": f32(a, b)}, domain=MS)
    yield "BiasGelu", Case("BiasGelu", {"x": f32(a, b, c), "bias": f32(c)}, domain=MS)
    yield "FastGelu", Case("FastGelu", {"x": f32(a, b, c), "bias": f32(c)}, domain=MS)
    yield "FastGelu.plain", Case("FastGelu", {"x": f32(a, b, c)}, domain=MS)
    yield "QuickGelu", Case("QuickGelu", {"x": f32(a, b)}, domain=MS, alpha=1.702)
    yield "Cast.u8", Case("Cast", {"x": u8(a, b)}, to=TensorProto.FLOAT)
    yield "Cast.f16", Case("Cast", {"x": f32(a, b)}, to=TensorProto.FLOAT16)
    yield "Cast.back", Case("Cast", {"x": f16(a, b)}, to=TensorProto.FLOAT)
    yield "Cast.i32", Case("Cast", {"x": random.integers(-999, 999, (a, b)).astype(np.int32)}, to=TensorProto.FLOAT)

    n, k, m = ext(), ext(1, 40), ext()
    yield "MatMul", Case("MatMul", {"a": f32(a, n, k), "b": f32(k, m)})
    yield "MatMul.stacks", Case("MatMul", {"a": f32(a, b, n, k), "b": f32(a, b, k, m)})
    yield "MatMul.spread", Case("MatMul", {"a": f32(a, 1, n, k), "b": f32(b, k, m)})
    yield "MatMul.f16", Case("MatMul", {"a": f16(a, n, k), "b": f16(k, m)})
    p, q = ext(1, 4), ext(1, 4)
    yield "Conv", Case("Conv", {"x": f32(a, c, p * b + ext(0, p - 1), q * d), "w": f32(m, c, p, q), "bias": f32(m)},
                       strides=[p, q], kernel_shape=[p, q])
    yield "Conv.no bias", Case("Conv", {"x": f32(a, c, 2 * p, 2 * p), "w": f32(m, c, p, p)}, strides=[p, p])
    # b in 7 bits: without VNNI onnxruntime saturates sums of two products.
    yield "MatMulInteger", Case("MatMulInteger", {"a": u8(a, n, k), "b": i8(k, m) // 2, "za": np.array(117, np.uint8)})
    yield "MatMulInteger.zeros", Case("MatMulInteger", {"a": u8(n, k), "b": i8(k, m) // 2, "za": np.array(3, np.uint8), "zb": i8(m)})

    yield "Reshape", Case("Reshape", {"x": f32(a, b, 6), "s": i64(0, -1, 3, 2)}, ["s"])
    order = [int(i) for i in random.permutation(4)]
    yield "Transpose", Case("Transpose", {"x": f32(a, b, c, d)}, perm=order)
    yield "Split", Case("Split", {"x": f32(a, 3 * b), "s": i64(b, b, b)}, ["s"], outputs=3, axis=1)
    yield "Split.uneven", Case("Split", {"x": f32(a + b, c), "s": i64(a, b)}, ["s"], outputs=2, axis=-2)
    yield "Split.18", Case("Split", {"x": f32(a, 7)}, outputs=2, opset=18, axis=1, num_outputs=2)
    yield "Slice", Case("Slice", {"x": f32(a, 9, b), "i": i64(2), "j": i64(ext(3, 12)), "axes": i64(1)}, ["i", "j", "axes"])
    yield "Slice.two", Case("Slice", {"x": f32(9, 8, b), "i": i64(1, -5), "j": i64(-1, 2**62), "axes": i64(0, 1), "by": i64(3, 2)},
                            ["i", "j", "axes", "by"])
    yield "Slice.back", Case("Slice", {"x": f32(9, b), "i": i64(7), "j": i64(-20), "axes": i64(0), "by": i64(-2)}, ["i", "j", "axes", "by"])
    yield "Pad", Case("Pad", {"x": f32(a, b, c), "p": i64(0, ext(0), 0, 0, ext(0), 1)}, ["p"])
    yield "Pad.axes", Case("Pad", {"x": f32(a, b, c), "p": i64(2, 3), "v": np.array(2.5, np.float32), "axes": i64(-2)}, ["p", "v", "axes"], opset=18)
    yield "Concat", Case("Concat", {"x": f32(a, b, c), "y": f32(a, d, c), "z": f32(a, 1, c)}, axis=1)
    yield "Concat.int64", Case("Concat", {"x": i64(1, 2), "y": i64(3)}, axis=0)
    yield "Shape", Case("Shape", {"x": f32(a, b, c, d)}, start=1, end=-1)
    yield "Shape.all", Case("Shape", {"x": f32(a, b, c)})

    width = ext(2, 40)
    yield "LayerNormalization", Case("LayerNormalization", {"x": f32(a, b, width) * 3 + 5, "w": f32(width), "bias": f32(width)}, axis=-1, epsilon=1e-6)
    yield "LayerNormalization.axis", Case("LayerNormalization", {"x": f32(a, b + 1, c + 1), "w": f32(b + 1, c + 1)}, axis=1)
    yield "SkipLayerNormalization", Case("SkipLayerNormalization", {"x": f32(a, b, width), "skip": f32(a, b, width), "w": f32(width),
                                                                    "beta": f32(width), "bias": f32(width)},
                                         outputs=["y0", "", "", "y3"], domain=MS, epsilon=1e-6)
    yield "SkipLayerNormalization.plain", Case("SkipLayerNormalization", {"x": f32(a, b, width), "skip": f32(a, b, width), "w": f32(width)},
                                               domain=MS, epsilon=1e-5)
    yield "Softmax", Case("Softmax", {"x": 4 * f32(a, b, c)}, axis=-1)
    yield "Softmax.axis", Case("Softmax", {"x": 4 * f32(a, b, c)}, axis=1)
    yield "ReduceMean", Case("ReduceMean", {"x": f32(a, b, c)}, axes=[1], keepdims=0)
    yield "ReduceMean.two", Case("ReduceMean", {"x": f32(a, b, c)}, axes=[0, -1])
    yield "ReduceMean.18", Case("ReduceMean", {"x": f32(a, b, c), "axes": i64(1)}, ["axes"], opset=18, keepdims=0)
    yield "ReduceMin", Case("ReduceMin", {"x": random.integers(-99, 99, (a, b)), "axes": i64(0)}, ["axes"], opset=18, keepdims=0)
    yield "TopK", Case("TopK", {"x": f32(a, 9), "k": i64(ext(1, 9))}, ["k"], outputs=2, axis=-1)
    yield "TopK.smallest", Case("TopK", {"x": random.integers(0, 4, (9, a)).astype(np.float32), "k": i64(5)}, ["k"], outputs=2, axis=0, largest=0)

    heads, size, tokens = ext(1, 4), 8, ext(1, 9)
    wide = lambda count: f32(a, count, heads * size)
    yield "Attention", Case("Attention", {"q": wide(tokens), "k": wide(tokens), "v": wide(tokens)}, opset=23, q_num_heads=heads, kv_num_heads=heads)
    yield "Attention.mask", Case("Attention", {"q": wide(b), "k": wide(tokens), "v": wide(tokens), "mask": f32(b, tokens)}, opset=23,
                                 q_num_heads=heads, kv_num_heads=heads, scale=0.3)
    yield "Attention.four axes", Case("Attention", {"q": f32(a, heads, b, 4), "k": f32(a, heads, c, 4), "v": f32(a, heads, c, 4)}, opset=24)
    yield "MultiHeadAttention", Case("MultiHeadAttention", {"q": wide(tokens), "k": wide(tokens), "v": wide(tokens)}, domain=MS, num_heads=heads)
    yield "MultiHeadAttention.bias", Case("MultiHeadAttention", {"q": wide(tokens), "k": wide(tokens), "v": wide(tokens), "bias": f32(3 * heads * size)},
                                          domain=MS, num_heads=heads, scale=0.4)
    yield "MultiHeadAttention.scores", Case("MultiHeadAttention", {"q": wide(tokens), "k": wide(tokens), "v": wide(tokens), "b": None, "m": None,
                                                                   "scores": f32(1, heads, tokens, tokens)}, domain=MS, num_heads=heads)

    scale = np.array(random.uniform(0.01, 0.1), np.float32)
    yield "QuantizeLinear", Case("QuantizeLinear", {"x": 4 * f32(a, b), "s": scale, "z": np.array(131, np.uint8)})
    yield "QuantizeLinear.axis", Case("QuantizeLinear", {"x": 4 * f32(a, b, c), "s": random.uniform(0.01, 0.1, b).astype(np.float32), "z": np.zeros(b, np.int8)}, axis=1)
    yield "DequantizeLinear", Case("DequantizeLinear", {"x": u8(a, b), "s": scale, "z": np.array(7, np.uint8)})
    yield "DequantizeLinear.axis", Case("DequantizeLinear", {"x": i8(a, b, c), "s": random.uniform(0.01, 0.1, c).astype(np.float32), "z": i8(c)}, axis=-1)
    yield "DequantizeLinear.i32", Case("DequantizeLinear", {"x": random.integers(-9999, 9999, (a, b)).astype(np.int32), "s": scale})
    yield "DynamicQuantizeLinear", Case("DynamicQuantizeLinear", {"x": 3 * f32(a, b) + random.normal()}, outputs=3)
    yield "DynamicQuantizeLinear.zeros", Case("DynamicQuantizeLinear", {"x": np.zeros((a, b), np.float32)}, outputs=3)

    image = f32(a, c, ext(2, 30), ext(2, 30))
    for mode, more in (("linear", {}), ("cubic", {"cubic_coeff_a": -0.5})):
        sizes = i64(a, c, ext(2, 30), ext(2, 30))
        yield f"Resize.{mode}", Case("Resize", {"x": image, "roi": None, "scales": None, "sizes": sizes}, ["sizes"], opset=18, mode=mode, **more)
        yield f"Resize.{mode}.antialias", Case("Resize", {"x": image, "roi": None, "scales": None, "sizes": sizes}, ["sizes"], opset=18,
                                               mode=mode, antialias=1, exclude_outside=1, **more)


def compare(folder):
    good = count = 0
    for place in sorted(pathlib.Path(folder).iterdir()):
        with np.load(place / "expected.npz") as expected:
            for i in range(len(expected.files)):
                wanted = expected[f"y{i}"]
                path = place / f"out_{i}.bin"
                found = np.frombuffer(path.read_bytes(), wanted.dtype) if path.exists() else np.zeros(0, wanted.dtype)
                count += 1
                if found.size != wanted.size:
                    print(f"FAIL {place.name}, output {i}: {found.size} elements, expected {wanted.size}")
                    continue
                found = found.reshape(wanted.shape)
                if np.issubdtype(wanted.dtype, np.integer):
                    off, limit = float(np.abs(found.astype(np.int64) - wanted.astype(np.int64)).max()), 0.0
                else:
                    step = 1e-5 if wanted.dtype == np.float32 else 2.0**-10
                    limit = step * (1 + float(np.abs(wanted).max()))
                    off = float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max())
                if off <= limit:
                    good += 1
                else:
                    print(f"FAIL {place.name}, output {i}: {off:.2e} off, limit {limit:.2e}")
    print(f"{good} of {count} outputs agree with onnxruntime {onnxruntime.__version__}")
    return good == count and count > 300


def write(folder):
    random = np.random.default_rng(7)
    for number in range(ROUNDS):
        for name, case in cases(random):
            results = case.run()
            case.declare(results)
            place = pathlib.Path(folder, f"{name}.{number}")
            place.mkdir(parents=True)
            onnx.save(case.model, place / "model.onnx")
            for i, value in enumerate(case.inputs.values()):
                (place / f"in_{i}.bin").write_bytes(np.ascontiguousarray(value).tobytes())
            np.savez(place / "expected.npz", **{f"y{i}": result for i, result in enumerate(results)})
    return True


def seeds(folder):
    """What a fuzzer can compute at once: every input is an initialiser but one, which comes from a self-test."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for name, case in cases(np.random.default_rng(3)):
        graph = case.model.graph
        case.declare(case.run())
        first, *others = list(case.inputs)
        if case.inputs[first].dtype not in (np.float32, np.float16, np.uint8) or case.inputs[first].size > 512:
            continue
        for other in others:
            graph.initializer.append(numpy_helper.from_array(case.inputs[other], other))
        del graph.input[1:]
        shape = list(case.inputs[first].shape)
        values = [dict(name=info.name, shape=[d.dim_value for d in info.type.tensor_type.shape.dim], step=1) for info in graph.output]
        for value in values:
            value["values"] = [0] * int(np.prod(value["shape"], dtype=int))
        test = dict(version=1, seed=1, input=first, shape=shape, tolerance=0.5, outputs=values)
        helper.set_model_props(case.model, {"vitrail.selftest": __import__("json").dumps(test, separators=(",", ":")), "vitrail.xxh3_128": "0" * 32})
        onnx.save(case.model, pathlib.Path(folder, name.replace(" ", "-") + ".onnx"))
    return True


if __name__ == "__main__":
    sys.exit(0 if {"write": write, "compare": compare, "seeds": seeds}[sys.argv[1]](sys.argv[2]) else 1)
