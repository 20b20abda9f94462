"""BF16, which numpy does not have."""

import math

import numpy as np
import pytest
import torch

from edge_runtime.datatypes import DATATYPES, as_numbers, from_numbers


def test_bfloat16_is_rounded_as_torch_rounds_it() -> None:
    random = np.random.default_rng(0)
    values = (random.standard_normal(4096) * 10.0 ** random.integers(-38, 38, 4096)).astype(np.float32)
    values[:6] = [0.0, -0.0, math.inf, -math.inf, np.finfo(np.float32).max, 1 + 2**-8]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(from_numbers("BF16", values), expected)


def test_bfloat16_goes_to_numbers_and_back_bit_by_bit() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    numbers = as_numbers("BF16", bits)
    assert numbers.dtype == np.float32
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(from_numbers("BF16", numbers)[known], bits[known])
    assert np.isnan(as_numbers("BF16", from_numbers("BF16", numbers[~known]))).all()


@pytest.mark.parametrize("datatype", sorted(DATATYPES.keys() - {"BF16"}))
def test_arrays_of_other_datatypes_are_numbers_already(datatype: str) -> None:
    array = np.zeros(3, DATATYPES[datatype].numpy)
    assert as_numbers(datatype, array) is array


def test_four_datatypes_are_floats() -> None:
    assert {name for name, datatype in DATATYPES.items() if datatype.is_float} == {"FP16", "FP32", "FP64", "BF16"}
