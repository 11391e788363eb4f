"""Pretrained networks and the activations of their layers."""

from texopt.features.backbones import BACKBONES, as_extractor, class_index, load_backbone
from texopt.features.extractor import FeatureExtractor

__all__ = ["BACKBONES", "FeatureExtractor", "as_extractor", "class_index", "load_backbone"]
