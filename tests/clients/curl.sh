#!/bin/sh
# curl as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
#
# usage: [CURL_OPTIONS=…] curl.sh plain|streamed
# Prints the answer; streamed, one line an event, written out at once.
set -eu
mode=$1

ask() {
  curl --silent --show-error --fail-with-body --no-buffer ${CURL_OPTIONS:-} https://api.anthropic.com/v1/messages \
    --header "x-api-key: $ANTHROPIC_API_KEY" --header 'anthropic-version: 2023-06-01' \
    --header 'content-type: application/json' --data "$question"
}

messages='"model":"claude-test","max_tokens":64,"messages":[{"role":"user","content":"Say hello."}]'
if [ "$mode" = plain ]; then
  question="{$messages}"
  ask
else
  question="{\"stream\":true,$messages}"
  number=0
  ask | while read -r kind name; do
    if [ "$kind" = event: ]; then
      number=$((number + 1))
      echo "event $number $name"
    fi
  done
fi
