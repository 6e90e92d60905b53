"""Inference of an exported net by other programs: images/s of ONNX Runtime and OpenVINO, whichever python has.

    python tools/peer/onnx_peer.py MODEL.onnx [BATCH [THREADS [SECONDS]]]

MODEL.onnx comes from `wbcsnet export --weights FILE --onnx MODEL.onnx`. For each program the fastest of its steps in SECONDS, so that a machine
that others use too says least about them.
"""
import sys
import time

import numpy


def fastest(step, seconds):
    for _ in range(3):
        step()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


def onnxruntime_step(path, threads, size):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    x = numpy.random.default_rng(1).random([size, *shape[1:]], numpy.float32)
    return "ONNX Runtime " + onnxruntime.__version__, lambda: session.run(None, {name: x})


def openvino_step(path, threads, size, precision):
    import openvino
    core = openvino.Core()
    model = core.read_model(path)
    shape = [d.get_length() if d.is_static else size for d in model.inputs[0].partial_shape]
    model.reshape([size, *shape[1:]])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision,
                                                 "PERFORMANCE_HINT": "LATENCY"})
    x = numpy.random.default_rng(1).random([size, *shape[1:]], numpy.float32)
    request = compiled.create_infer_request()
    return f"OpenVINO {openvino.__version__} {precision}", lambda: request.infer([x])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path, size, threads, seconds = sys.argv[1], *(int(n) for n in (sys.argv[2:] + ["32", "2", "5"][len(sys.argv) - 2:]))
    for make in (lambda: onnxruntime_step(path, threads, size), lambda: openvino_step(path, threads, size, "f32"),
                 lambda: openvino_step(path, threads, size, "bf16")):
        try:
            name, step = make()
        except ImportError as missing:
            print(missing)
            continue
        print(f"{name}: {size / fastest(step, seconds):.1f} images/s", flush=True)


main()
