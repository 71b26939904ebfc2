"""The published data sets: what they are, where they are found, and their known contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genus.data import readers
from genus.data.base import ArraySplit, BinarisedSplit, DataSet, Split
from genus.data.digest import digest_arrays, sha256_file
from genus.data.download import Progress, Remote, download
from genus.data.places import cache_dir, search_folders
from genus.errors import DataError
from genus.spec import Spec

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_OBJECTS = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A published data set.

    Args:
        spec: shape, levels and classes of an example.
        counts: rows of train, valid and test.
        remotes: the files to fetch; empty where a set cannot be fetched as it is.
        read: from files by name to arrays by split.
        description: what it is and how it is split.
        folder: the name of the folder that holds its files.
        labels: the names of the classes.
        local: other files by which it may be present, in place of those to fetch.
        instead: what to say when only another set's files are there.
    """

    spec: Spec
    counts: tuple[int, int, int]
    remotes: tuple[Remote, ...]
    read: Callable[[readers.Files], readers.Parts]
    description: str
    folder: str
    labels: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    instead: tuple[str, str] | None = None

    @property
    def choices(self) -> list[tuple[str, ...]]:
        """The sets of files any of which will do."""
        fetched = tuple(remote.file for remote in self.remotes)
        return [names for names in (fetched, self.local) if names]


def _remote(
    base: str | tuple[str, ...], *entries: tuple[str, int | None, str | None]
) -> tuple[Remote, ...]:
    bases = (base,) if isinstance(base, str) else base
    return tuple(
        Remote(file, tuple(f"{place}/{file}" for place in bases), sha, size)
        for file, size, sha in entries
    )


# The authors' page no longer hands the files out; these are the copies that libraries use.
_MNIST = _remote(
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    ("train-images-idx3-ubyte.gz", 9_912_422,
     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    ("train-labels-idx1-ubyte.gz", 28_881,
     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ("t10k-images-idx3-ubyte.gz", 1_648_877,
     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    ("t10k-labels-idx1-ubyte.gz", 4_542,
     "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)  # fmt: skip
_FASHION = _remote(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ("train-images-idx3-ubyte.gz", 26_421_880,
     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    ("train-labels-idx1-ubyte.gz", 29_515,
     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    ("t10k-images-idx3-ubyte.gz", 4_422_102,
     "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    ("t10k-labels-idx1-ubyte.gz", 5_148,
     "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)  # fmt: skip
_BINARIZED = _remote(
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",
    ("binarized_mnist_train.amat", 78_400_000,
     "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
    ("binarized_mnist_valid.amat", 15_680_000,
     "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
    ("binarized_mnist_test.amat", 15_680_000,
     "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
)  # fmt: skip
_CIFAR = _remote(
    "https://www.cs.toronto.edu/~kriz",
    ("cifar-10-binary.tar.gz", 170_052_171,
     "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
)  # fmt: skip
_OMNIGLOT_PLACE = "https://github.com/brendenlake/omniglot/raw/master/python"
_OMNIGLOT = _remote(
    _OMNIGLOT_PLACE,
    ("images_background.zip", 9_464_212,
     "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640"),
    ("images_evaluation.zip", 6_462_886,
     "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee"),
)  # fmt: skip
_OMNIGLOT_SMALL = _remote(
    _OMNIGLOT_PLACE,
    ("images_background_small1.zip", 1_319_022,
     "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"),
)  # fmt: skip
# The published file has no checksum at hand; the digest of its contents is checked instead.
_FREY = _remote("https://cs.nyu.edu/~roweis/data", ("frey_rawface.mat", None, None))

_GREY = Spec((1, 28, 28), levels=256, classes=10)
_BINARY = Spec((1, 28, 28), levels=2, classes=10)
_MNIST_COUNTS = (50_000, 10_000, 10_000)
_LAST = "valid is the last 10,000 of the 60,000 training images"

PUBLISHED: dict[str, Published] = {
    "mnist": Published(
        _GREY, _MNIST_COUNTS, _MNIST, readers.read_mnist,
        f"Handwritten digits in grey (LeCun et al. 1998); {_LAST}.",
        "mnist", _DIGITS,
    ),
    "fashion-mnist": Published(
        _GREY, _MNIST_COUNTS, _FASHION, readers.read_mnist,
        f"Clothing in grey (Xiao et al. 2017); {_LAST}.",
        "fashion-mnist", _CLOTHES,
    ),
    "binarized-mnist": Published(
        Spec((1, 28, 28), levels=2), _MNIST_COUNTS, _BINARIZED, readers.read_binarized_mnist,
        "MNIST binarised once and for all by Larochelle, with his splits and no labels.",
        "binarized-mnist",
    ),
    "mnist-dynamic": Published(
        _BINARY, _MNIST_COUNTS, _MNIST, readers.read_mnist_dynamic,
        "MNIST whose train images are binarised anew at every look, valid and test once with a "
        f"fixed seed; {_LAST}.",
        "mnist", _DIGITS,
    ),
    "mnist-threshold": Published(
        _BINARY, _MNIST_COUNTS, _MNIST, readers.read_mnist_threshold,
        f"MNIST with pixels of 128 and above as 1; {_LAST}.",
        "mnist", _DIGITS,
    ),
    "stacked-mnist": Published(
        Spec((3, 28, 28), levels=256, classes=1000), _MNIST_COUNTS, _MNIST,
        readers.read_stacked_mnist,
        "Three MNIST digits of the same split as the colours of an image, so that there are 1,000 "
        "kinds to be missed (Metz et al. 2017); drawn once with a fixed seed.",
        "mnist", tuple(f"{number:03}" for number in range(1000)),
    ),
    "cifar10": Published(
        Spec((3, 32, 32), levels=256, classes=10), (45_000, 5_000, 10_000), _CIFAR,
        readers.read_cifar10,
        "Small colour photographs (Krizhevsky 2009); valid is the last 5,000 of the 50,000 "
        "training images.",
        "cifar10", _OBJECTS,
        local=(*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
        instead=("data_batch_1_first4000.bin", "cifar10-4000"),
    ),
    "cifar10-4000": Published(
        Spec((3, 32, 32), levels=256, classes=10), (3_200, 400, 400), (),
        readers.read_cifar10_part,
        "Only the first 4,000 training images of CIFAR-10, divided 3,200 / 400 / 400; its figures "
        "cannot be compared with those of CIFAR-10.",
        "cifar10", _OBJECTS,
        local=("data_batch_1_first4000.bin",),
    ),
    "omniglot": Published(
        Spec((1, 105, 105), levels=2, classes=1623), (22_722, 3_246, 6_492), _OMNIGLOT,
        readers.read_omniglot,
        "All 1,623 handwritten characters (Lake et al. 2015) at 105x105; drawers 1-14 are train, "
        "15-16 valid, 17-20 test.",
        "omniglot",
        instead=("images_background_small1.zip", "omniglot-small1"),
    ),
    "omniglot-small1": Published(
        Spec((1, 105, 105), levels=2, classes=136), (1_904, 272, 544), _OMNIGLOT_SMALL,
        readers.read_omniglot,
        "The small background set 1 of Omniglot: 136 characters of 5 alphabets at 105x105; "
        "drawers 1-14 are train, 15-16 valid, 17-20 test.",
        "omniglot",
    ),
    "frey-faces": Published(
        Spec((1, 28, 20), levels=256), (1_565, 200, 200), _FREY, readers.read_frey_faces,
        "1,965 frames of one face (Roweis and Ghahramani), divided in the order of the film.",
        "frey-faces",
    ),
}  # fmt: skip

# Of the contents, computed from files that are identical to the published ones (MNIST and
# Fashion-MNIST by MD5, the others by sha256; the Frey faces by shape and range only).
DIGESTS = {
    "mnist": "bd78b9422e931613bf44f377ec2e16bf538a4c28c90c46308570c827ef945cc9",
    "fashion-mnist": "3bf255cc485b54179604424506496d4e539f00bfb0e3fb8d16a72b7705461461",
    "binarized-mnist": "9c28cbbb510b512a7de9c7e24e150ea4b73041608df6384708b2b8f831bafd24",
    "mnist-dynamic": "97096dfe182e6a3f52978c3341a5fc0fe4176b63127edfd765199b7928ec4a07",
    "mnist-threshold": "67dffed397ab32d82d7c8b17a3426726d9b83378980077b0b7b072ca3d962ee2",
    "stacked-mnist": "09249109a26fd4247b223aff5f456e2026bed1834fbdf4c2465abd176dee116a",
    "cifar10-4000": "c26bc613880b4dfffc7c7d46de6d36b644a0e7e0dae9e1eafe6e49f3e8e81b86",
    "omniglot-small1": "9d09c9ad5832a8f9296ce810eaab5b300113ac730102edce3d5e73ef35df07c3",
    "frey-faces": "b781c5b60ce5472556228ebcdd3a8cc183dfdfbf02ae9ebd806d716f66f92a70",
}


def find(name: str, root: Path | None) -> dict[str, Path] | None:
    """Return the files of a published set that are on this machine, or None.

    A file counts with or without ``.gz``, in any of the folders of `search_folders`.
    """
    entry = PUBLISHED[name]
    for names in entry.choices:
        for folder in search_folders(entry.folder, root):
            paths = {file: _present(folder, file) for file in names}
            found = {file: path for file, path in paths.items() if path is not None}
            if len(found) == len(names):
                return found
    return None


def _present(folder: Path, file: str) -> Path | None:
    plain = file.removesuffix(".gz")
    for place in (folder, folder / "cifar-10-batches-bin", folder / "raw"):
        for candidate in (file, plain, f"{plain}.gz"):
            if (place / candidate).is_file():
                return place / candidate
    return None


def load_published(
    name: str, root: Path | None = None, progress: Progress | None = None
) -> DataSet:
    """Load a published set from ``root``, ``GENUS_DATA``, earlier downloads or its official place.

    Raises:
        DataError: it cannot be had, or the contents are not the published ones.
    """
    entry = PUBLISHED[name]
    files = find(name, root) or _fetch(name, root, progress)
    for remote in entry.remotes:
        _check_archive(remote, files.get(remote.file))
    parts = entry.read(files)
    splits: dict[str, Split] = {split: ArraySplit(*pair) for split, pair in parts.items()}
    kind = "arrays"
    if name == "mnist-dynamic":
        splits["train"], kind = BinarisedSplit(*parts["train"]), "binarised at every look"
    digest = digest_arrays(entry.spec, parts, kind)
    _check_digest(name, digest, next(iter(files.values())).parent)
    return DataSet(
        name=name,
        spec=entry.spec,
        splits=splits,
        digest=digest,
        description=entry.description,
        labels=entry.labels or tuple(str(i) for i in range(entry.spec.classes or 0)),
        notes=tuple(_notes(name)),
        source={"name_or_path": name, **({"root": str(root)} if root else {})},
    )


def _check_digest(name: str, digest: str, folder: Path) -> None:
    known = DIGESTS.get(name)
    if known is not None and digest != f"sha256:{known}":
        raise DataError(
            f"the files of {name} in {folder} are sound, but hold other data (digest "
            f"{digest[7:23]}, published {known[:16]}); fetch them again, or load your own data by "
            "its path"
        )


def _notes(name: str) -> Iterator[str]:
    if name not in DIGESTS:
        yield "no digest of the published contents was at hand to compare with"


def _check_archive(remote: Remote, path: Path | None) -> None:
    """Compare an archive with its published hash; files that may come unpacked are not."""
    if path is None or remote.sha256 is None or not path.name.endswith((".zip", ".tar.gz")):
        return
    if (found := sha256_file(path)) != remote.sha256:
        raise DataError(
            f"{path} has sha256 {found}, expected {remote.sha256}; it is damaged or another file, "
            "fetch it again"
        )


def _fetch(name: str, root: Path | None, progress: Progress | None) -> dict[str, Path]:
    entry = PUBLISHED[name]
    if entry.instead is not None:
        file, other = entry.instead
        if any(_present(folder, file) for folder in search_folders(entry.folder, root)):
            raise DataError(
                f"{name} is not complete here: only {file} is present; load {other!r}, or put "
                f"{' and '.join(entry.choices[0])} beside it"
            )
    if not entry.remotes:
        raise DataError(
            f"{name} needs {', '.join(entry.local)}, which cannot be downloaded; set GENUS_DATA "
            "(--data-root) to a folder that has it"
        )
    place = cache_dir() / "data" / entry.folder
    return {
        remote.file: _present(place, remote.file) or download(remote, place, progress)
        for remote in entry.remotes
    }
