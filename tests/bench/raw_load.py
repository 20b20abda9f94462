"""Runs ONNX Runtime alone in a loop, on one thread, and counts. It reads feeds as JSON from standard input."""

import json
import sys
import time

import numpy as np
import onnxruntime

path, seconds = sys.argv[1], float(sys.argv[2])
feeds = {name: np.array(data, dtype) for name, (data, dtype) in json.load(sys.stdin).items()}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
run = session.run
for _ in range(100):
    run(names, feeds)
count = 0
begin = time.perf_counter()
while (now := time.perf_counter()) < begin + seconds:
    for _ in range(10):
        run(names, feeds)
    count += 10
print(json.dumps({"per_second": count / (now - begin)}))
