#!/bin/bash
set -u
here=$(cd "$(dirname "$0")" && pwd)
exec python3 -I "$here/check.py" "$PWD"
