"""The tiny decoders of the tests: they run as decoders do, and their weights matter."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_compressor.models.onnx_model import check_model
from edge_runtime.decoder import Reader, continue_greedily, decoder_of
from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME
from tests.support.decoders import TINY, texts, vocabulary, write_decoder


@pytest.mark.parametrize("position_ids", [False, True])
def test_a_text_read_in_parts_has_the_logits_of_the_text_read_at_once(tmp_path: Path, position_ids: bool) -> None:
    folder = write_decoder(tmp_path / "tiny", position_ids=position_ids)
    model = load_model(folder / "model.onnx", ONNX_RUNTIME, Tuning(intra_op_threads=1))
    decoder = decoder_of(list(model.signature.inputs.values()), list(model.signature.outputs.values()))
    assert decoder is not None
    assert decoder.vocabulary == len(vocabulary())
    text = np.arange(40, 60)
    whole = Reader(model.run, decoder).read(text)
    parted = Reader(model.run, decoder)
    logits = np.concatenate([parted.read(text[:7]), parted.read(text[7:8]), parted.read(text[8:])])
    np.testing.assert_allclose(logits, whole, rtol=0, atol=1e-3)
    written = continue_greedily(model.run, decoder, text, 5)
    again = np.concatenate([text, written])
    assert (Reader(model.run, decoder).read(again)[len(text) - 1 : -1].argmax(axis=1) == written).all()


def test_its_own_texts_are_likely_and_a_spoiled_layer_makes_them_less_so(tmp_path: Path) -> None:
    healthy = write_decoder(tmp_path / "healthy")
    spoiled = write_decoder(tmp_path / "spoiled", spoiled_layer=1)
    own = texts(healthy, 16, 24)
    assert bits(healthy, own) < bits(spoiled, own) - 0.1
    assert bits(healthy, own) < np.log2(TINY.vocabulary) - 2


def test_weights_lie_in_a_file_of_their_own_or_inside(tmp_path: Path) -> None:
    outside = write_decoder(tmp_path / "outside")
    inside = write_decoder(tmp_path / "inside", external=False, tied=False)
    assert (outside / "model.onnx.data").stat().st_size > 10 * (outside / "model.onnx").stat().st_size
    assert not (inside / "model.onnx.data").exists()
    check_model(inside / "model.onnx")


def bits(folder: Path, tokens: np.ndarray) -> float:
    """Returns the bits per token of ``tokens``, (texts, tokens)."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    feeds = {
        item.name: np.zeros((len(tokens), item.shape[1], 0, item.shape[3]), np.float32)
        for item in session.get_inputs()
        if item.name.startswith("past")
    }
    (logits,) = session.run(["logits"], {"input_ids": tokens, "attention_mask": np.ones_like(tokens), **feeds})
    shifted = logits[:, :-1].astype(np.float64)
    nats = np.log(np.exp(shifted).sum(axis=2)) - np.take_along_axis(shifted, tokens[:, 1:, None], axis=2)[..., 0]
    return float(nats.mean() / np.log(2))
