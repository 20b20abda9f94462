"""Olive: its pass OnnxStaticQuantization, with nothing set but the calibration data."""

import shutil
import sys
from pathlib import Path
from typing import Any

import feeds
from olive.data.config import DataComponentConfig, DataConfig
from olive.data.registry import Registry
from olive.hardware.accelerator import DEFAULT_CPU_ACCELERATOR
from olive.model import ONNXModelHandler
from olive.passes.olive_pass import create_pass_from_dict
from olive.passes.onnx.quantization import OnnxStaticQuantization

model, calibration, output = sys.argv[1:]


@Registry.register_dataset("feeds")
def read(**_: Any) -> list[feeds.Feed]:
    """Returns the calibration data; Olive calls this for its data set."""
    return feeds.read(calibration)


@Registry.register_pre_process("as_they_are")
def keep(dataset: list[feeds.Feed], **_: Any) -> list[feeds.Feed]:
    """Returns the data set as it is; Olive calls this for its pre-processing."""
    return dataset


@Registry.register_dataloader("one_by_one")
def load(dataset: list[feeds.Feed], **_: Any) -> list[tuple[feeds.Feed, None]]:
    """Returns pairs of inputs and no label; Olive calls this for its loader."""
    return [(feed, None) for feed in dataset]


data = DataConfig(
    name="calibration",
    type="DataContainer",
    load_dataset_config=DataComponentConfig(type="feeds"),
    pre_process_data_config=DataComponentConfig(type="as_they_are"),
    post_process_data_config=DataComponentConfig(type="skip_post_process"),
    dataloader_config=DataComponentConfig(type="one_by_one"),
)
made = create_pass_from_dict(
    OnnxStaticQuantization, {"data_config": data}, disable_search=True, accelerator_spec=DEFAULT_CPU_ACCELERATOR
).run(ONNXModelHandler(model), str(Path(output).with_suffix("")))
shutil.copyfile(made.model_path, output)
