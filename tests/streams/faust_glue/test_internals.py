"""An upgrade of Faust, aiokafka or confluent-kafka that takes away what the join leans on fails here, with the name."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import postwatch.producers
import postwatch.streams
import pytest
from faust.transport.drivers import aiokafka as driver
from postwatch.streams.faust_glue import table, transport
from postwatch.streams.faust_glue.internals import ATTRIBUTES, METHODS, Method

_BASES = (driver.Consumer, driver.AIOKafkaConsumerThread, driver.Producer, driver.Transport)
_OF_NAMED_TUPLES = {"_replace", "_asdict", "_make", "_fields", "_field_defaults"}
_DOCUMENTED = {"KafkaError", "os"}
"""Their names with an underscore are no secret."""
SOURCES = [
    file
    for package in (postwatch.streams, postwatch.producers)
    for file in sorted(Path(package.__path__[0]).resolve().rglob("*.py"))
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.owner.__name__}.{method.name}")
def test_a_method_is_there_and_takes_what_it_took(method: Method) -> None:
    found = getattr(method.owner, method.name, None)
    assert found is not None, f"{method.owner.__name__} has no {method.name} any more"
    parameters = [name for name in inspect.signature(found).parameters if name != "self"]
    assert ", ".join(parameters) == method.parameters


def _is_assigned(owner: type, name: str) -> bool:
    """Whether a class or one of its bases sets the attribute, in its body or on itself in a method."""
    for one in inspect.getmro(owner):
        if name in vars(one) or name in getattr(one, "__annotations__", {}):
            return True
        if one.__module__ == "builtins":
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(one)))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name:
                return True
    return False


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES, ids=lambda one: getattr(one, "__name__", one))
def test_an_attribute_is_there(owner: type, name: str) -> None:
    assert _is_assigned(owner, name), f"{owner.__name__} has no {name} any more"


def test_what_is_not_there_is_noticed() -> None:
    assert not _is_assigned(driver.Consumer, "_nobody_sets_this")


def test_each_method_that_is_overridden_is_listed() -> None:
    listed = {(method.owner, method.name) for method in METHODS}
    for ours in vars(transport).values():
        if inspect.isclass(ours) and ours.__module__ == transport.__name__:
            for base in (base for base in _BASES if issubclass(ours, base)):
                overridden = {name for name in vars(ours) if hasattr(base, name) and callable(getattr(ours, name))}
                missing = {name for name in overridden if not name.startswith("__") and (base, name) not in listed}
                assert not missing, f"{ours.__name__} overrides {missing}: list them in internals.py"


_WITH_ANOTHER_WAY = {"__future__", "_blake2"}
"""Public, or where it is missing something public is taken."""


def _foreign_names(tree: ast.AST) -> Iterator[str]:
    """Names that begin with an underscore, of something that is not the object itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            of = node.value
            name = of.id if isinstance(of, ast.Name) else ""
            is_super = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
            if name not in {"self", "cls", *_DOCUMENTED} and node.attr not in _OF_NAMED_TUPLES and not is_super:
                yield f"{ast.unparse(of)}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and any(part.startswith("_") for part in (node.module or "").split(".")):
            yield str(node.module)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: "/".join(file.parts[-2:]))
def test_private_names_of_others_are_used_in_one_place(file: Path) -> None:
    if file.name != "internals.py":
        used = [name for name in _foreign_names(ast.parse(file.read_text())) if name not in _WITH_ANOTHER_WAY]
        assert used == []


def test_our_subclasses_touch_nothing_private_that_they_do_not_make() -> None:
    for ours in (transport.FetchThread, transport.FetchConsumer, transport.LeasedProducer, table.Tables):
        tree = ast.parse(textwrap.dedent(inspect.getsource(ours)))
        own = set(vars(ours)) | {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        listed = {name for _, name in ATTRIBUTES} | {method.name for method in METHODS}
        read = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        }
        assert {name for name in read if name.startswith("_")} <= own | listed
