"""NNCF: post-training quantization with the defaults of ``nncf.quantize``."""

import sys

import feeds
import nncf
import onnx

model, calibration, output = sys.argv[1:]
onnx.save(nncf.quantize(onnx.load(model), nncf.Dataset(feeds.read(calibration))), output)
