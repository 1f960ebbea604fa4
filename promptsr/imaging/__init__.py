"""Pixels in, pixels out: pictures with their depth, alpha and metadata, and the files they live in."""

from promptsr.imaging.decode import decode, find_images
from promptsr.imaging.encode import SUFFIXES, encode
from promptsr.imaging.picture import Metadata, Picture

__all__ = ["SUFFIXES", "Metadata", "Picture", "decode", "encode", "find_images"]
