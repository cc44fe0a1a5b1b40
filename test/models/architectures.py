"""Further architectures, made and checked as the guide models are: those of keras.applications that other people's models are
built from, and small sequence models. Sides are small, to be quick: an architecture takes any."""

# The images are standardised, not from 0 to 255.
STANDARDISED = {"include_preprocessing": False}

# name -> (constructor, side of the image, millions of trained parameters, options), as in
# guide_models.MODELS. Constructors are those of keras.applications and of keras_models.py.
MODELS = {
    "convnext_tiny": ("ConvNeXtTiny", 64, 28.59, STANDARDISED),
    "densenet121": ("DenseNet121", 96, 7.98, {}),
    "efficientnet_b0": ("EfficientNetB0", 96, 5.29, {}),
    "efficientnet_v2_b0": ("EfficientNetV2B0", 96, 7.14, STANDARDISED),
    "inception_resnet_v2": ("InceptionResNetV2", 139, 55.8, {}),
    "mobilenet_v3_large": ("MobileNetV3Large", 96, 5.48, STANDARDISED),
    "mobilenet_v3_small": ("MobileNetV3Small", 96, 2.55, STANDARDISED),
    "regnet_x_002": ("RegNet", 96, 2.68, {"depths": (1, 1, 4, 7), "widths": (24, 56, 152, 368)}),
    "regnet_y_004": (
        "RegNet",
        96,
        4.34,
        {"depths": (1, 3, 6, 6), "widths": (48, 104, 208, 440), "squeeze": 0.25},
    ),
    "resnet101": ("ResNet101", 96, 44.6, {}),
    "resnet152_v2": ("ResNet152V2", 96, 60.2, {}),
    "xception": ("Xception", 96, 22.9, {}),
    "transformer": ("Transformer", 32, 0.26, {}),
    "lstm": ("Recurrent", 32, 0.17, {"layer": "LSTM"}),
    "lstm_unrolled": ("Recurrent", 32, 0.17, {"layer": "LSTM", "unroll": True}),
    "gru": ("Recurrent", 32, 0.15, {"layer": "GRU"}),
    "gru_unrolled": ("Recurrent", 32, 0.15, {"layer": "GRU", "unroll": True}),
}
