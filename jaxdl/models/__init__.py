"""Models: one architecture family a file, top to bottom; published sizes as partials.

Every module is called as `model(x, train=...)` and holds nothing: `params = model.init(...)`,
`y = model.apply(...)`. Examples of large ones look at shapes alone, by `jax.eval_shape`, which
computes nothing; without it the same calls give arrays.
"""

from jaxdl.models import fasttext, glove, style, weights, word2vec
from jaxdl.models._images import features
from jaxdl.models.alexnet import AlexNet
from jaxdl.models.densenet import DenseNet, DenseNet121, DenseNetSmall
from jaxdl.models.fcn import FCN, fcn8s, fcn16s, fcn32s
from jaxdl.models.googlenet import GoogLeNet, Inception
from jaxdl.models.language import LanguageModel, LSTMLarge, LSTMMedium, LSTMSmall, token_step
from jaxdl.models.lenet import LeNet, LeNetSigmoid
from jaxdl.models.mlp import MLP, MLP64x25x15x1
from jaxdl.models.mnist_cnn import MnistCNN
from jaxdl.models.nin import NiN
from jaxdl.models.rcnn import (
    RCNN,
    FastRCNN,
    RegionPredictions,
    RegionSamples,
    best_proposals,
    detect_regions,
    sample_regions,
    selective_search,
)
from jaxdl.models.recommender import (
    AutoRec,
    MatrixFactorization,
    NeuMF,
    factor_scores,
    recommend,
    similar_items,
)
from jaxdl.models.resnet import ResNet, ResNet18, ResNet34, ResNet50
from jaxdl.models.sentiment import BiLSTMReader, GRUReader, TextCNN, with_vectors
from jaxdl.models.signal import SignalCNN
from jaxdl.models.ssd import SSD300, L2Norm, Predictions, TinySSD, detect
from jaxdl.models.translation import Translator, translation_step
from jaxdl.models.vgg import (
    VGG,
    VGG11,
    VGG11BN,
    VGG13,
    VGG13BN,
    VGG16,
    VGG16BN,
    VGG19,
    VGG19BN,
)

__all__ = [
    "FCN",
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
    "AutoRec",
    "BiLSTMReader",
    "DenseNet",
    "DenseNet121",
    "DenseNetSmall",
    "FastRCNN",
    "GRUReader",
    "GoogLeNet",
    "Inception",
    "L2Norm",
    "LSTMLarge",
    "LSTMMedium",
    "LSTMSmall",
    "LanguageModel",
    "LeNet",
    "LeNetSigmoid",
    "MLP64x25x15x1",
    "MatrixFactorization",
    "MnistCNN",
    "NeuMF",
    "NiN",
    "Predictions",
    "RegionPredictions",
    "RegionSamples",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "SignalCNN",
    "TextCNN",
    "TinySSD",
    "Translator",
    "best_proposals",
    "detect",
    "detect_regions",
    "factor_scores",
    "fasttext",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "features",
    "glove",
    "recommend",
    "sample_regions",
    "selective_search",
    "similar_items",
    "style",
    "token_step",
    "translation_step",
    "weights",
    "with_vectors",
    "word2vec",
]
