"""Data sets fetched from where their authors publish them, and checked; needs the extra ``download``."""

from __future__ import annotations

from pathlib import Path

from bitmixer.data import cifar10
from bitmixer.errors import DataError, did_you_mean

SOURCES = {"cifar10": (cifar10.ARCHIVE, cifar10.ARCHIVE_MD5)}
"""Data set -> address of its archive, and the archive's hash as its authors state it."""


def download(name: str, root: Path, *, progress: bool = False) -> Path:
    """Fetch and unpack a data set into ``root``; what is there and whole is not fetched again.

    Args:
        name: A data set that its authors publish.
        root: The folder that ``BITMIXER_DATA`` names.
        progress: Whether to draw a bar on stderr.

    Raises:
        DataError: The set cannot be downloaded, there is no network, or what came is not what was published.
    """
    if name not in SOURCES:
        raise DataError(f"data {name!r} cannot be downloaded: {did_you_mean(name, SOURCES)}")
    try:
        import pooch
    except ImportError:
        raise DataError(
            "downloading needs pooch: pip install 'bitmixer-hwsim[download]', "
            f"or unpack {SOURCES[name][0]} into {root} yourself"
        ) from None
    address, md5 = SOURCES[name]
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            address, f"md5:{md5}", fname=address.rsplit("/", 1)[1], path=root,
            processor=pooch.Untar(extract_dir="."), progressbar=progress,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
        raise DataError(f"{address}: cannot be downloaded: {' '.join(str(error).split())}") from None
    return root
