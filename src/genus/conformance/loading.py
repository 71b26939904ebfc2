"""Find the class that a user names as ``module:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from genus.capabilities import capabilities_of
from genus.errors import ConfigError, near


def load_class(reference: str) -> type:
    """Return the model class named ``module:Class``, where module may be a ``.py`` file.

    Args:
        reference: ``package.module:Class``, found on the Python path or in the current folder, or
            ``path/to/file.py:Class``.

    Raises:
        ConfigError: there is no such module or class, it cannot be imported, or what is there is
            not a model.

    Example:
        >>> load_class("genus.models.independent:Independent").name
        'independent'
        >>> load_class("independent")
        Traceback (most recent call last):
        ...
        genus.errors.ConfigError: 'independent' is not of the form module:Class
    """
    module_name, colon, class_name = reference.rpartition(":")
    if not (colon and module_name and class_name):
        raise ConfigError(f"{reference!r} is not of the form module:Class")
    module = _import(module_name)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"{module_name} has no class {class_name!r}; {near(class_name, classes)}")
    if not isinstance(found, type):
        raise ConfigError(f"{reference} is a {type(found).__name__}, not a class")
    if "samples" not in capabilities_of(found):
        raise ConfigError(
            f"{reference} is not a model: it has no method sample(n, *, y, generator, temperature)"
        )
    return found


def _import(name: str) -> object:
    """Return the imported module, also from a file or from the current folder."""
    if name.endswith(".py"):
        return _import_file(Path(name))
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"cannot import {name!r}: {error}; is it installed, or in the current folder?"
        ) from error
    finally:
        if added:
            sys.path.remove(here)


def _import_file(path: Path) -> object:
    """Return a module made from a file, under the name of the file."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; give path/to/file.py:Class")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise ConfigError(f"cannot import {path}: {error}") from error
    return module
