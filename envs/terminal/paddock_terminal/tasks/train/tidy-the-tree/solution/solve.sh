#!/bin/bash
set -eu
cd project
find . -type f ! -name '*.sh' -exec chmod a-x {} +
find . -type f -name '*.sh' -exec chmod u+x {} +
declare -A first
while IFS= read -r -d '' path; do
    sum=$(sha256sum < "$path")
    if [[ -n ${first[$sum]-} ]]; then
        ln -sf "$(realpath -m --relative-to="$(dirname "$path")" "${first[$sum]}")" "$path"
    else
        first[$sum]=$path
    fi
done < <(find . -type f -print0 | LC_ALL=C sort -z)
