"""Intel Neural Compressor: post-training static quantization with the configuration that it makes by default."""

import sys
from collections.abc import Iterator

import feeds
from neural_compressor import PostTrainingQuantConfig, quantization

model, calibration, output = sys.argv[1:]


class Loader:
    """The calibration data in the form that Neural Compressor takes."""

    batch_size = 1

    def __iter__(self) -> Iterator[tuple[feeds.Feed, None]]:
        return iter([(feed, None) for feed in feeds.read(calibration)])


made = quantization.fit(model, PostTrainingQuantConfig(), calib_dataloader=Loader())
if made is None:
    sys.exit("it answers no model")
made.save(output)
