"""All that is fuzzed."""

from tests.fuzz import archives, checkpoints, documents, images, upscaling

TARGETS = [*images.TARGETS, *upscaling.TARGETS, *checkpoints.TARGETS, *documents.TARGETS, *archives.TARGETS]
