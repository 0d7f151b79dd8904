#!/bin/sh
# git as an agent uses it: no word of a proxy, a CA or a credential but what the environment says.
#
# usage: git.sh clone|push
# Prints the subject of what it cloned, or `pushed`.
set -eu
mode=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0

git clone --quiet https://git.example.com/team/project.git "$folder/project"
cd "$folder/project"
if [ "$mode" = clone ]; then
  git log --format=%s
else
  git -c user.name=agent -c user.email=agent@example.com commit --quiet --allow-empty -m "a commit of the agent's"
  git push --quiet origin HEAD
  echo pushed
fi
