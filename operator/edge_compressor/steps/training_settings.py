"""The settings that all training steps share."""

from collections.abc import Mapping

from edgemodel.setting_kinds import Choice, Fraction, Setting, Whole


def training_settings(*, epochs: int, learning_rate: str, min_epochs: int = 1) -> Mapping[str, Setting]:
    """Returns the settings that all steps that train have, with a step's own defaults."""
    return {
        "epochs": Whole(
            epochs,
            f"Number of passes over the training set; {min_epochs} to 1000. Default: {epochs}.",
            minimum=min_epochs,
            maximum=1000,
        ),
        "batchSize": Whole(
            128, "Number of samples per optimizer step; 2 to 4096. Default: 128.", minimum=2, maximum=4096
        ),
        "learningRate": Fraction(
            learning_rate,
            "Peak learning rate: the rate rises to it in the first quarter of the training and then decays to zero; a "
            f'decimal string, "0.000001" to "10". Default: "{learning_rate}".',
            "0.000001",
            "10",
        ),
        "weightDecay": Fraction(
            "0.0005", 'Weight decay per optimizer step; a decimal string, "0" to "1". Default: "0.0005".', "0", "1"
        ),
        "optimizer": Choice(
            "SGD",
            "SGD: with Nesterov momentum 0.9, for convolutional networks. AdamW: for transformers and recurrent "
            "networks; set learningRate to about a hundredth of its default. Default: SGD.",
            ("SGD", "AdamW"),
        ),
        "augmentation": Choice(
            "None",
            "Random augmentation of inputs of shape [samples, channels, height, width]. None: no augmentation. Shift: "
            "shifts by up to 2 pixels. FlipShift: also mirrors half of the samples left to right. Default: None.",
            ("None", "Shift", "FlipShift"),
        ),
        "seed": Whole(
            0,
            "Seed of the random numbers, which makes the training reproducible; 0 to 2147483647. Default: 0.",
            minimum=0,
            maximum=2**31 - 1,
        ),
    }
