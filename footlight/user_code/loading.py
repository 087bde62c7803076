"""Load a user's file as a module, exactly the content that was allowed, and find names in it."""

import hashlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import gymnasium

from footlight.config.suggestions import closest
from footlight.errors import UserError, place_of, summarize_error
from footlight.signals import is_interruption
from footlight.user_code import consent
from footlight.user_code.reference import Reference, digest, is_reference, loaded

_loaded: dict[tuple[str, str], tuple[ModuleType, list[str]]] = {}  # by path and digest, with ids
_ids: dict[str, list[str]] = {}  # that the last version of a file has registered, by path
_module_names: dict[str, str] = {}  # by path
_loading: list[str] = []


def load(reference: Reference) -> Any:
    """The object of a reference; of an id that the file registers, its spec.

    Raises `UserError` if the file cannot be loaded or lacks the name.
    """
    if (reference.path, reference.sha256) not in _loaded:
        _load_file(reference)
    module, ids = _loaded[reference.path, reference.sha256]
    if reference.name in ids and reference.name in gymnasium.registry:
        return gymnasium.registry[reference.name]
    if reference.name in vars(module):
        return vars(module)[reference.name]
    own = [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and vars(module)["__name__"] == getattr(value, "__module__", None)
    ]
    has = ", ".join([*own, *ids]) or "no class and no function"
    hint = closest(reference.name, [*own, *ids, *vars(module)])
    raise UserError(f"{reference.path} has no {reference.name!r}{hint} - it has {has}")


def load_given(value: Any, use: str, code: list[Reference]) -> Any:
    """What the user has given: an object as it is; of a FILE.py:NAME the object in the file.

    The reference is added to `code`. A class of hooks is instantiated. Raises `UserError`.
    """
    if not is_reference(value):
        if isinstance(value, str) and use != "algorithm":
            raise UserError(
                f"{use} is {value!r} - that is text, not an object - write FILE.py:NAME"
            )
        return value
    code.append(consent.given(value, use))
    return load_checked(code[-1])


def load_checked(reference: Reference) -> Any:
    """The object of a reference, if it can be used as such. Raises `UserError`."""
    found = load(reference)
    if not callable(found):
        raise UserError(
            f"{reference.name} in {reference.path} is of type {type(found).__name__} - "
            f"{reference.use.replace('_', ' ')} has to be a class or a function - name one"
        )
    return called(found, reference.name) if reference.use == "hook" and _is_class(found) else found


def called(function: Callable[..., Any], name: str, *given: Any) -> Any:
    """What a user's class or function returns. Raises `UserError` if it fails."""
    try:
        return function(*given)
    except UserError:
        raise
    except BaseException as error:  # the user's own code may raise anything, even SystemExit
        if is_interruption(error):
            raise
        what = f"{name} failed - {summarize_error(error)}{place_of(error)}"
        raise UserError(f"{what} - fix it") from error


def _is_class(found: Any) -> bool:
    return isinstance(found, type)


class _Allowed(importlib.machinery.SourceFileLoader):
    """Loads the content that was allowed, and no bytecode in a cache that may be another one's."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


def _load_file(reference: Reference) -> None:
    """Run the file of a reference as a module. Raises `UserError`."""
    path = Path(reference.path)
    if reference.path in _loading:
        raise UserError(
            f"{path} names itself while it is being loaded - that would never end - put the call "
            "below `if __name__ == '__main__':`"
        )
    content, sha256 = digest(path)
    if sha256 != reference.sha256:
        raise UserError(f"{path} has changed since it was allowed - run the command again")
    name = _module_names.setdefault(reference.path, _module_name(path))
    spec = importlib.util.spec_from_file_location(
        name, path, loader=_Allowed(name, str(path), content)
    )
    assert spec is not None
    assert spec.loader is not None
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    for each in _ids.pop(reference.path, []):  # which an earlier version has registered
        gymnasium.registry.pop(each, None)
    specs, folder = dict(gymnasium.registry), str(path.parent)
    is_new = folder not in sys.path
    if is_new:
        sys.path.insert(0, folder)
    sys.modules[name] = module
    loaded.add(reference.path)
    _loading.append(reference.path)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # the user's own code may raise anything, even SystemExit
        _put_back(name, before)
        if is_interruption(error):
            raise
        raise UserError(_broken(path, error)) from error
    finally:
        _loading.remove(reference.path)
        if is_new:  # Last from now on: what it imports later is found, and shadows nothing
            sys.path.remove(folder)
            sys.path.append(folder)
    ids = [each for each, spec in gymnasium.registry.items() if specs.get(each) is not spec]
    _loaded[reference.path, sha256] = module, ids
    _ids[reference.path] = ids


def _put_back(name: str, module: ModuleType | None) -> None:
    del sys.modules[name]
    if module is not None:
        sys.modules[name] = module


def _module_name(path: Path) -> str:
    """The name of the file's module: its own, by which other processes find it, if it is free."""
    if path.stem.isidentifier() and path.stem not in sys.modules:
        spec = importlib.util.find_spec(path.stem)
        if spec is None or (spec.origin and Path(spec.origin).resolve() == path):
            return path.stem
    return f"footlight_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _broken(path: Path, error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    remedy = f"install {error.name}" if isinstance(error, ModuleNotFoundError) else "fix it"
    what, where = summarize_error(error), place_of(error, path) or place_of(error)
    where = "" if what.endswith(where.strip()) else where  # as of a SyntaxError
    return f"{path} cannot be loaded - {what}{where} - {remedy}"
