"""Download and unpack benchmarks, training data and other networks' weights of known size and checksum."""

from promptsr.downloads.catalogue import Entry, RemoteFile, Unpacking, load_catalogue
from promptsr.downloads.fetch import Fetched, fetch
from promptsr.downloads.transfer import RetryPolicy, Step

__all__ = ["Entry", "Fetched", "RemoteFile", "RetryPolicy", "Step", "Unpacking", "fetch", "load_catalogue"]
