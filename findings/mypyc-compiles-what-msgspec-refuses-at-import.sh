#!/usr/bin/env bash
# mypyc (mypy 2.4.1) with msgspec 0.22.0: a Struct whose field has msgspec.field(name=...) compiles without a word, and the
# module fails at import.
#
# Guess before the run: mypyc compiles a subclass of msgspec.Struct as an ordinary Python class (its base is no native
# class), so that decoding works as interpreted; or else the compiler refuses what it can't translate.
# Seen: mypy and mypyc pass. The import raises a TypeError: mypyc takes the value given in the class body for a value of
# the annotated type, and checks it as that when the class is made ("str object expected; got msgspec._core.Field"). The
# same Struct with plain defaults compiles, is imported and decodes as interpreted.
# So only an import of the compiled module tells; and records whose keys are no Python names stay in an interpreted module.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check mypy==2.4.1 msgspec==0.22.0 setuptools==84.2.1
cd "$folder"
cat >plain.py <<'PYTHON'
import msgspec


class Record(msgspec.Struct):
    message: str = ""


def read(text: bytes) -> str:
    return msgspec.json.decode(text, type=Record).message
PYTHON
sed 's/message: str = ""/message: str = msgspec.field(name="MESSAGE", default="")/' plain.py >named.py
grep -q 'msgspec.field' named.py
"$folder/venv/bin/python" -c 'import named, plain; print("interpreted:", plain.read(b"{\"message\":\"a\"}"), named.read(b"{\"MESSAGE\":\"b\"}"))'
PATH="$folder/venv/bin:$PATH" mypyc plain.py named.py >compile.log 2>&1 || { tail -5 compile.log; exit 1; }
echo "compiled: $(ls plain.*.so named.*.so | tr '\n' ' ')"
rm plain.py named.py # so that only the compiled modules can be found
"$folder/venv/bin/python" - <<'PYTHON'
import plain

assert plain.__file__.endswith(".so")
print("plain default:", plain.read(b'{"message":"a"}'))
try:
    import named
except TypeError as error:
    print("named field:", type(error).__name__, error)
    assert "str object expected" in str(error), "it fails for another reason now"
else:
    raise SystemExit("a compiled Struct may have msgspec.field now")
PYTHON
