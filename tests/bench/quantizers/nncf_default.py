"""NNCF: post-training quantization as ``nncf.quantize`` does it unless told otherwise."""

import sys

import feeds
import nncf
import onnx

model, calibration, output = sys.argv[1:]
onnx.save(nncf.quantize(onnx.load(model), nncf.Dataset(feeds.read(calibration))), output)
