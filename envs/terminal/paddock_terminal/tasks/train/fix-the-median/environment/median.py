"""Print the median of the numbers in a file."""

import sys


def median(values):
    values.sort()
    middle = len(values) // 2
    return values[middle]


def main():
    with open(sys.argv[1]) as file:
        values = [line.strip() for line in file if line.strip()]
    print(median(values))


main()
