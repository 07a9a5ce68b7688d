"""Helm's own library, in a process of its own: it brings a Go runtime, which must not meet the tests' signals.

`python tests/deploy/chart_tool.py CHART` reads values as JSON and prints what they make: the manifests, or the error.
"""

from __future__ import annotations

import json
import sys

import helm_python

if __name__ == "__main__":
    chart, values = sys.argv[1], json.load(sys.stdin)
    answer: dict[str, object] = {"lint": helm_python.lint(chart, values, strict=True, kube_version="v1.31.0")}
    with helm_python.Chart.load(chart) as loaded:
        try:
            loaded.validate_schema(values)
            answer["rendered"] = loaded.render(values, name="demo", namespace="mail")
        except helm_python.HelmError as error:
            answer["error"] = str(error)
    json.dump(answer, sys.stdout)
