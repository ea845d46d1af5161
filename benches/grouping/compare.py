#!/usr/bin/env python3
"""Groups labelled logs by Drain3 and by Emberwatch's miner, in one run, and prints both side by side.

    python3 -m venv VENV && VENV/bin/pip install drain3
    VENV/bin/python benches/grouping/compare.py FILE...

A FILE is a CSV with columns `Content` and `EventId`, as loghub's `*_structured.csv` are. Drain3 runs as it comes
(depth 4, similarity 0.4, 100 children), with the generic masks below for every set: what the miner masks by hand, said in
regular expressions. Nothing is tuned per set on either side. The miner is run through
`cargo run --release --example grouping`.
"""

import csv
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig

MASKS = [
    (r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>)\]},;|]+", "url"),
    (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "uuid"),
    (r"\b[\w.%+-]+@[\w-]+\.[\w.-]+\b", "email"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?", "time"),
    (r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2}\b", "time"),
    (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?: (?:19|20)\d\d)?\b", "time"),
    (r"\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,5}\b", "ip"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+|/\d+)?\b", "ip"),
    (r"(?<![\w/.])/(?!<)[\w.~%-][\w.~%+@?&=#$!/-]*", "path"),
    (r"(?<![\w/.-])[\w.-]+(?:/[\w.-]+){2,}", "path"),
    (r"(?<=[\s:=,(\[])(['\"])[^'\"\s]+\1", "str"),
    (r"\b0x[0-9a-fA-F]+\b", "hex"),
    (r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6,}\b", "hex"),
    (r"(?<=\w)=[^\s,;&)\]}>\"'|=<{(\[]*", "value"),
    (r"(?<![A-Za-z0-9])[+-]?\d+(?:[.,:_/-]\d+)*(?:%|[kKMGT]i?B?|ms|us|ns|s|B)?(?![A-Za-z0-9])", "num"),
    (r"\d+", "num"),
]


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["Content"], row["EventId"]) for row in csv.DictReader(file)]


def drain(lines):
    config = TemplateMinerConfig()
    config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS]
    miner = TemplateMiner(config=config)
    start = time.perf_counter()
    ids = [miner.add_log_message(content)["cluster_id"] for content, _ in lines]
    return ids, time.perf_counter() - start


def figures(labels, ids):
    by_label, by_id = defaultdict(set), defaultdict(set)
    for n, (label, cluster) in enumerate(zip(labels, ids)):
        by_label[label].add(n)
        by_id[cluster].add(n)
    kinds = {frozenset(members) for members in by_label.values()}
    right = [members for members in by_id.values() if frozenset(members) in kinds]
    precision, recall = len(right) / len(by_id), len(right) / len(by_label)
    fga = 2 * precision * recall / (precision + recall) if right else 0.0
    return len(by_label), len(by_id), sum(map(len, right)) / len(ids), fga


def emberwatch(files):
    root = Path(__file__).resolve().parents[2]
    command = ["cargo", "run", "--quiet", "--release", "--example", "grouping", "--", *files]
    table = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
    return [row for row in rows if row[0] != "average"]


def main():
    files = [str(Path(name).resolve()) for name in sys.argv[1:]]
    if not files:
        sys.exit(__doc__)
    ours = emberwatch(files)
    print("set | kinds | templates: Drain3 | Emberwatch | new on the way | GA: Drain3 | Emberwatch | FGA: Drain3 | Emberwatch")
    print(" | ".join(["---"] * 9))
    sums, seconds, count = [0.0] * 4, 0.0, 0
    for path, (name, lines, kinds, templates, new, ga, fga, *_) in zip(files, ours):
        content = read(path)
        ids, took = drain(content)
        labelled, found, their_ga, their_fga = figures([label for _, label in content], ids)
        assert (len(content), labelled) == (int(lines), int(kinds)), "both must have read the same"
        print(f"{name} | {kinds} | {found} | {templates} | {new} | {their_ga:.3f} | {ga} | {their_fga:.3f} | {fga}")
        sums = [a + b for a, b in zip(sums, (their_ga, float(ga), their_fga, float(fga)))]
        seconds, count = seconds + took, count + len(content)
    mean = [f"{value / len(files):.3f}" for value in sums]
    print(f"average | | | | | {' | '.join(mean)}")
    print(f"\nDrain3: {count / seconds:,.0f} lines/s, masks included, one core, Python", file=sys.stderr)


if __name__ == "__main__":
    main()
