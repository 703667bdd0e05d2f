#!/bin/bash
# The vendor's entrypoint as far as the deploy tree relies on it, for a node assembled from Maven artifacts:
# variables with dots in their names are settings. Settings of the security that such a node lacks are left out.
set -euo pipefail
home=/usr/share/elasticsearch
configuration="$(mktemp -d)"
cp "$home/config/log4j2.properties" "$configuration/"
while IFS= read -r line || [ -n "$line" ]; do
    case $line in xpack.security.*) ;; *) printf '%s\n' "$line" ;; esac
done <"$home/config/elasticsearch.yml" >"$configuration/elasticsearch.yml"
settings=()
while IFS='=' read -r -d '' name value; do
    if [[ $name =~ ^[a-z0-9_]+(\.[a-z0-9_]+)+$ ]]; then
        # There is no module for these.
        case $name in s3.client.*) continue ;; esac
        settings+=(-E "$name=$value")
    fi
done </proc/self/environ
export ES_PATH_CONF="$configuration" JAVA_HOME="$home/jdk"
exec "$home/bin/elasticsearch" "${settings[@]}"
