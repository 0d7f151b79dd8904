#!/bin/sh
# wget as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
#
# usage: wget.sh plain
# Prints the answer.
set -eu
exec wget --quiet --output-document=- https://api.anthropic.com/v1/messages \
  --header "x-api-key: $ANTHROPIC_API_KEY" --header 'anthropic-version: 2023-06-01' \
  --header 'content-type: application/json' \
  --post-data '{"model":"claude-test","max_tokens":64,"messages":[{"role":"user","content":"Say hello."}]}'
