"""Settings that every step that trains has."""

from collections.abc import Mapping

from edgemodel.setting_kinds import Choice, Fraction, Setting, Whole


def training_settings(*, epochs: int, learning_rate: str, min_epochs: int = 1) -> Mapping[str, Setting]:
    return {
        "epochs": Whole(
            epochs,
            f"How often the training set is gone through; {min_epochs} to 1000. Default: {epochs}.",
            minimum=min_epochs,
            maximum=1000,
        ),
        "batchSize": Whole(
            128, "Samples in one step of the optimizer; 2 to 4096. Default: 128.", minimum=2, maximum=4096
        ),
        "learningRate": Fraction(
            learning_rate,
            "The largest learning rate; it rises to it in the first quarter of the training and falls to nothing "
            f'then; a decimal, "0.000001" to "10". Default: "{learning_rate}".',
            "0.000001",
            "10",
        ),
        "weightDecay": Fraction(
            "0.0005", 'Decay of the weights in each step; a decimal, "0" to "1". Default: "0.0005".', "0", "1"
        ),
        "optimizer": Choice(
            "SGD",
            "SGD: with Nesterov momentum 0.9, for convolutional nets. AdamW: for transformers and recurrent nets, with "
            "a learningRate of about a hundredth. Default: SGD.",
            ("SGD", "AdamW"),
        ),
        "augmentation": Choice(
            "None",
            "How inputs of shape [samples, channels, height, width] are varied. Shift: by up to 2 pixels. FlipShift: "
            "half of them mirrored left to right, too. Default: None.",
            ("None", "Shift", "FlipShift"),
        ),
        "seed": Whole(0, "Makes the training repeatable; 0 to 2147483647. Default: 0.", minimum=0, maximum=2**31 - 1),
    }
