"""Prints the dashboards as TypeScript, declared to be what Grafana's own types say: `nox -s types` has them checked."""

from __future__ import annotations

import json

from devops.monitoring.dashboard.board import BOARDS, document

HEAD = """\
import type { AnnotationQuery, Dashboard, VariableModel } from "@grafana/schema";

// JSON has words and numbers where the types have enumerations.
type Plain<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : T
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

// What the Prometheus data source reads of an annotation, and what the builder library gives to each variable.
type Event = AnnotationQuery & {
  expr: string; titleFormat: string; textFormat: string; tagKeys: string; useValueForTime?: boolean;
};
type Variable = VariableModel & { auto: boolean; auto_min: string; auto_count: number };

type Board = Omit<Dashboard, "annotations" | "templating"> & {
  annotations: { list: Event[] };
  templating: { list: Variable[] };
};

export const boards: Plain<Board>[] = """


def program() -> str:
    """Give the program."""
    known = [{key: value for key, value in document(each).items() if key != "__inputs"} for each in BOARDS]
    return f"{HEAD}{json.dumps(known, indent=2)};\n"


if __name__ == "__main__":
    print(program())  # noqa: T201  it is what it is for
