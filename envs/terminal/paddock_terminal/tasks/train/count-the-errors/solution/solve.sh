#!/bin/bash
set -eu
zcat -f logs/* | awk '$2 == "ERROR" { seen[$3]++ } END { for (host in seen) print host "," seen[host] }' |
    LC_ALL=C sort -t, -k2,2nr -k1,1 > errors.csv
