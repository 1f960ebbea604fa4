"""Metadata in the containers of each format: PNG chunks, JPEG segments, RIFF chunks, TIFF directories, GIF blocks."""
