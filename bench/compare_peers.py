"""One measurement of a peer, as one JSON line: compare_peers.py train|infer MODEL BATCH STEPS ENGINE DTYPE FOLDER

ENGINE: eager | compile (PyTorch), onnxruntime (infer only). DTYPE: f32 | bf16 (autocast) | int8 (onnxruntime, dynamic).
A training step is forward, cross-entropy, backward, clip to norm 1 and fused AdamW, as `vitrail bench` does it."""
import json
import pathlib
import resource
import statistics
import sys
import time


def timed(run, steps, warm):
    """Median seconds; the first `warm` runs are not counted."""
    times = []
    for step in range(warm + steps):
        start = time.perf_counter()
        run()
        if step >= warm:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_train(model, batch, steps, engine, dtype):
    import torch
    from torch_vit import SIZES, images_for, network
    net = network(model)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images, labels = images_for(model, batch), torch.arange(batch) % SIZES[model][3]
    forward = torch.compile(net) if engine == "compile" else net

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return f"torch {torch.__version__}", timed(step, steps, 2 if engine == "compile" else 1)


def torch_infer(model, batch, steps, engine, dtype):
    import torch
    from torch_vit import images_for, network
    net = network(model).eval()
    images = images_for(model, batch)
    forward = torch.compile(net) if engine == "compile" else net

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            forward(images)

    return f"torch {torch.__version__}", timed(run, steps, 2)


def onnx_file(model, dtype, folder):
    """The network as PyTorch exports it; int8: quantised by onnxruntime's own dynamic quantisation."""
    path = pathlib.Path(folder) / f"{model}.onnx"
    if not path.exists():
        import torch  # only here: the peak memory of onnxruntime is to be its own
        from torch_vit import images_for, network
        torch.onnx.export(network(model).eval(), (images_for(model, 2),), str(path), input_names=["images"],
                          dynamo=False, dynamic_axes={"images": {0: "batch"}})
    if dtype == "f32":
        return path
    quantised = pathlib.Path(folder) / f"{model}-int8.onnx"
    if not quantised.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(path, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    return quantised


def onnxruntime_infer(model, batch, steps, dtype, folder):
    import numpy
    import onnxruntime
    session = onnxruntime.InferenceSession(str(onnx_file(model, dtype, folder)), providers=["CPUExecutionProvider"])
    _, chans, img, _ = session.get_inputs()[0].shape
    images = numpy.random.default_rng(1).random((batch, chans, img, img), numpy.float32)
    seconds = timed(lambda: session.run(None, {"images": images}), steps, 2)
    return f"onnxruntime {onnxruntime.__version__}", seconds


def main():
    what, model, batch, steps, engine, dtype, folder = sys.argv[1:8]
    batch, steps = int(batch), int(steps)
    if engine == "onnxruntime":
        version, seconds = onnxruntime_infer(model, batch, steps, dtype, folder)
    else:
        version, seconds = (torch_train if what == "train" else torch_infer)(model, batch, steps, engine, dtype)
    print(json.dumps({"what": what, "model": model, "batch": batch, "engine": engine, "dtype": dtype, "version": version,
                      "images_per_second": batch / seconds,
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


main()
