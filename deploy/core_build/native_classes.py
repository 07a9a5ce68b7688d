"""Structs of msgspec → native classes of mypyc, and constants → Final, in the text of a module to be compiled.

Invariant: fields, their order and their defaults stay, and every line keeps its number, so that a traceback of the
compiled build names lines of the source. msgspec can't decode a native class: `parsers/native_fields.py` does.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

REPLACE = "msgspec.structs.replace("
_IMPORTS = (
    "from __future__ import annotations; from typing import ClassVar, Final; from mypy_extensions import mypyc_attr;"
    " from postwatch.streams.parsers.native_fields import replace as _replace"
)
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")
_FUTURE = "from __future__ import annotations"


class _Field(NamedTuple):
    name: str
    kind: str
    default: str
    """Its source; empty where there is none."""


def to_native(source: str) -> str:
    """The module's text with native classes in place of its structs. Raises ValueError for a class it can't render."""
    lines = source.split("\n")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            _fix_constant(lines, node.targets[0], node)
        elif isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "msgspec.Struct" for base in node.bases):
            _replace_class(lines, node)
    text = "\n".join(lines).replace(REPLACE, "_replace(")
    return text.replace(_FUTURE, _IMPORTS, 1) if text != source else text


def _fix_constant(lines: list[str], target: ast.expr, node: ast.Assign) -> None:
    """`NAME = value` → a Final, which mypyc keeps in place of a look-up by its name. So do `A, B = "a", "b"`."""
    if isinstance(target, ast.Name) and _CONSTANT.fullmatch(target.id):
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(f"{target.id} =", f"{target.id}: Final =", 1)
    elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        pairs = zip(target.elts, node.value.elts, strict=True)
        lines[node.lineno - 1] = "; ".join(
            f"{ast.unparse(name)}: Final = {ast.unparse(value)}" for name, value in pairs
        )
        for index in range(node.lineno, node.end_lineno or node.lineno):
            lines[index] = ""


def _replace_class(lines: list[str], node: ast.ClassDef) -> None:
    """Uses the blank lines around the class for what it needs in addition."""
    fields = [_read_field(part) for part in node.body if isinstance(part, ast.AnnAssign)]
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    said = node.body[0]
    behind = said.end_lineno or said.lineno
    is_compared = not any(keyword.arg == "eq" for keyword in node.keywords)
    if not isinstance(said, ast.Expr) or any((lines[first - 1], lines[behind], lines[last])):
        raise ValueError(
            f"class {node.name}: a docstring, a blank line behind it and one on either side of the class are needed"
        )
    lines[first - 1] = "@mypyc_attr(acyclic=True)"
    lines[first] = f"class {node.name}:"
    for part, field in zip((part for part in node.body if isinstance(part, ast.AnnAssign)), fields, strict=True):
        lines[part.lineno - 1] = f"    {field.name}: {field.kind}"
    lines[said.lineno - 1] = _equality(node.name, fields) if is_compared else "    pass"
    lines[said.lineno : behind] = [""] * (behind - said.lineno)
    kinds = tuple((field.name, field.kind) for field in fields)
    names = tuple(field.name for field in fields)
    lines[behind] = (
        f"    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = {kinds!r};"
        f" __struct_fields__: ClassVar[tuple[str, ...]] = {names!r}"
    )
    lines[last] = _constructor(fields)


def _read_field(part: ast.AnnAssign) -> _Field:
    default = ast.unparse(part.value) if part.value is not None else ""
    return _Field(ast.unparse(part.target), ast.unparse(part.annotation), default)


def _constructor(fields: list[_Field]) -> str:
    taken, kept = ["self"], []
    for name, kind, default in fields:
        if default in ("{}", "[]"):
            taken.append(f"{name}: {kind} | None = None")
            kept.append(f"self.{name} = {name} if {name} is not None else {default}")
        else:
            taken.append(f"{name}: {kind} = {default}" if default else f"{name}: {kind}")
            kept.append(f"self.{name} = {name}")
    return f"    def __init__({', '.join(taken)}) -> None: {'; '.join(kept)}"


def _equality(name: str, fields: list[_Field]) -> str:
    same = " and ".join(f"self.{field.name} == other.{field.name}" for field in fields)
    return f"    def __eq__(self, other: object) -> bool: return isinstance(other, {name}) and {same}"
