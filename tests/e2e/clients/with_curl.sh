#!/bin/bash
# with_curl.sh TUS_URL FILE: a creation, and PATCHes from wherever HEAD says, until it is whole. No other tool.
set -u
url=$1 file=$2 size=$(stat -c %s "$2")
ask() { curl --silent --show-error --max-time 60 --header "Authorization: Bearer $TOKEN" --header 'Tus-Resumable: 1.0.0' "$@"; }
field() { tr -d '\r' | sed -n "s/^$1: //Ip" | tail -1; }
name=$(basename "$file" | sed 's/\..*//' | tr -d '\n' | base64 -w0)
place=''
for _ in $(seq 200); do
  if [[ -z $place ]]; then
    place=$(ask --head --request POST --header "Upload-Length: $size" --header "Upload-Metadata: file_id $name" "$url" | field Location)
  fi
  if [[ -n $place ]]; then
    at=$(ask --head "$place" | field Upload-Offset)
    [[ $at == "$size" ]] && exit 0
    if [[ -n $at ]]; then
      tail --bytes=+$((at + 1)) "$file" | ask --request PATCH --header "Upload-Offset: $at" \
        --header 'Content-Type: application/offset+octet-stream' --upload-file - "$place"
      continue
    fi
  fi
  sleep 0.2
done
exit 1
