#!/usr/bin/env bash
# jgo 3.2.0 (PyPI): a jar that was cut off while it was downloaded is used for ever.
#
# Guess before the run: the resolver downloads to a temporary name or compares Maven's .sha1, so a download that was
# interrupted (Ctrl-C, a full disk) is downloaded again by the next build.
# Seen: it writes to the final name in the local repository, and the next build takes what is there without looking at
# its size or checksum. `jgo.build` succeeds with the broken jar in its class path, and Java then fails with
# ClassNotFoundException, far away from the cause. Deleting the environment in cache_dir does not help: it is linked
# from the local repository again.
# So whoever uses jgo for a product checks that the jars are whole, and removes broken ones from the local repository.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jgo==3.2.0
M2_REPO="$folder/m2" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os, shutil, sys, zipfile
from pathlib import Path

import jgo

folder = Path(sys.argv[1])
endpoint = "org.slf4j:slf4j-simple:1.7.36"


def build() -> Path:
    jars = jgo.build(endpoint, cache_dir=folder / "cache").all_jars
    return next(Path(jar) for jar in jars if "slf4j-simple" in str(jar))


whole = build()
size = whole.stat().st_size
assert zipfile.is_zipfile(whole)
[stored] = (folder / "m2").rglob(whole.name)
shutil.rmtree(folder / "cache")
os.truncate(stored, size // 2)  # what an interrupted download leaves behind
again = build()
print(f"{endpoint}: {size} bytes whole; after an interruption the next build uses {again.stat().st_size} bytes,",
      "a jar" if zipfile.is_zipfile(again) else "no jar any more")
assert again.stat().st_size == size // 2, "jgo downloads a broken jar again now: the finding is out of date"
PYTHON
