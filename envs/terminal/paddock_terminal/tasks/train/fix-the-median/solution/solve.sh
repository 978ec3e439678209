#!/bin/bash
cat > median.py <<'PY'
"""Print the median of the numbers in a file."""

import statistics
import sys


def main():
    with open(sys.argv[1]) as file:
        values = [float(line) for line in file if line.strip()]
    if not values:
        sys.exit("no numbers in the file")
    print(statistics.median(values))


main()
PY
