#!/bin/bash
cat > rotate.sh <<'SH'
#!/bin/bash
set -u
file=${1-} keep=${2-}
[[ -f $file && $keep =~ ^[1-9][0-9]*$ ]] || exit 2
for old in "$file".*; do
    number=${old##*.}
    [[ $number =~ ^[0-9]+$ ]] && (( number >= keep )) && rm -f -- "$old"
done
for (( n = keep - 1; n >= 1; n-- )); do
    [[ -e $file.$n ]] && mv -f -- "$file.$n" "$file.$(( n + 1 ))"
done
mv -f -- "$file" "$file.1" && : > "$file"
SH
