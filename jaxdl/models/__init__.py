"""Models: one architecture family a file, top to bottom; published sizes as partials.

Every module is called as `model(x, train=...)` and holds nothing: `params = model.init(...)`,
`y = model.apply(...)`. Examples of large ones look at shapes alone, by `jax.eval_shape`, which
computes nothing; without it the same calls give arrays.
"""

from jaxdl.models import style, weights
from jaxdl.models._images import features
from jaxdl.models._transformer_weights import (
    gpt2_from_torch,
    gpt2_to_torch,
    vit_from_torch,
    vit_to_torch,
)
from jaxdl.models.alexnet import AlexNet, AlexNet2012
from jaxdl.models.densenet import DenseNet, DenseNet121, DenseNetSmall
from jaxdl.models.fcn import FCN, fcn8s, fcn16s, fcn32s
from jaxdl.models.googlenet import GoogLeNet, GoogLeNetPlain, Inception
from jaxdl.models.language import LanguageModel, LSTMLarge, LSTMMedium, LSTMSmall, token_step
from jaxdl.models.lenet import LeNet, LeNetSigmoid, LeNetUnpadded
from jaxdl.models.mlp import MLP
from jaxdl.models.mnist_cnn import MnistCNN
from jaxdl.models.nin import NiN
from jaxdl.models.rcnn import RCNN, FastRCNN, RegionPredictions
from jaxdl.models.resnet import ResNet, ResNet18, ResNet34, ResNet50
from jaxdl.models.sentiment import BiLSTMClassifier, GRUClassifier, TextCNN, with_vectors
from jaxdl.models.signal import SignalCNN, SignalRNN
from jaxdl.models.ssd import SSD300, L2Norm, Predictions, TinySSD
from jaxdl.models.transformer import (
    GPT2,
    GPT_1300M,
    Cache,
    Transformer,
    TransformerClassifier,
    ViT,
    ViT_S16,
)
from jaxdl.models.transformer_translation import TransformerBase, TransformerSeq2Seq
from jaxdl.models.translation import Seq2Seq, seq2seq_step
from jaxdl.models.vgg import VGG, VGG11, VGG11BN, VGG13, VGG13BN, VGG16, VGG16BN, VGG19, VGG19BN

__all__ = [
    "FCN",
    "GPT2",
    "GPT_1300M",
    "MLP",
    "RCNN",
    "SSD300",
    "VGG",
    "VGG11",
    "VGG11BN",
    "VGG13",
    "VGG13BN",
    "VGG16",
    "VGG16BN",
    "VGG19",
    "VGG19BN",
    "AlexNet",
    "AlexNet2012",
    "BiLSTMClassifier",
    "Cache",
    "DenseNet",
    "DenseNet121",
    "DenseNetSmall",
    "FastRCNN",
    "GRUClassifier",
    "GoogLeNet",
    "GoogLeNetPlain",
    "Inception",
    "L2Norm",
    "LSTMLarge",
    "LSTMMedium",
    "LSTMSmall",
    "LanguageModel",
    "LeNet",
    "LeNetSigmoid",
    "LeNetUnpadded",
    "MnistCNN",
    "NiN",
    "Predictions",
    "RegionPredictions",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "Seq2Seq",
    "SignalCNN",
    "SignalRNN",
    "TextCNN",
    "TinySSD",
    "Transformer",
    "TransformerBase",
    "TransformerClassifier",
    "TransformerSeq2Seq",
    "ViT",
    "ViT_S16",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "features",
    "gpt2_from_torch",
    "gpt2_to_torch",
    "seq2seq_step",
    "style",
    "token_step",
    "vit_from_torch",
    "vit_to_torch",
    "weights",
    "with_vectors",
]
