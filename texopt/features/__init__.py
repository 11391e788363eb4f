"""Pretrained networks and the activations of their layers."""

from texopt.features.backbones import BACKBONES, class_index, load_backbone
from texopt.features.extractor import FeatureExtractor

__all__ = ["BACKBONES", "FeatureExtractor", "class_index", "load_backbone"]
