#!/usr/bin/env bash
# anvil 1.7.1, freshly started, before its first block is mined: a call at `latest` runs at the time 1, though
# the latest block (the genesis block) says the present time. After the first block it runs at that block's.
#
# Who it touches: an authorization (EIP-3009) whose validAfter is some minutes ago, as clients like to sign it,
# is "not yet valid" to every simulation until somebody has mined a block; one whose validAfter is 0 is taken.
# A call at `pending` runs at the present time, before and after.
#
# Seen on 2026-11-30 with @foundry-rs/anvil 1.7.1 on Linux (amd64), Node.js 20 or later for npm. Fails if it
# is otherwise.
set -euo pipefail

version=1.7.1
# NUMBER, TIMESTAMP and GASPRICE, returned as three words: creation code that is only called.
environment=0x43600052426020523a60405260606000f3

folder=$(mktemp -d)
node=
trap '[[ -z $node ]] || kill "$node" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --silent "@foundry-rs/anvil@$version"
anvil=$(ls node_modules/@foundry-rs/anvil-*/bin/anvil)
"$anvil" --version | head -n 1

: > log
"$anvil" --host 127.0.0.1 --port 0 > log &
node=$!
port=
for _ in {1..100}; do
  port=$(sed -n 's/^Listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' log)
  [[ -z $port ]] || break
  sleep 0.1
done
[[ -n $port ]] || { echo "anvil does not listen" >&2; exit 1; }

# rpc METHOD PARAMS: the result, as JSON.
rpc() {
  curl --silent --max-time 5 --header 'content-type: application/json' \
    --data "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}" "http://127.0.0.1:$port" \
    | node -pe 'JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).result)'
}
# time_of BLOCK: as its header has it. time_in BLOCK: as a call at it sees.
time_of() { rpc eth_getBlockByNumber "[\"$1\",false]" | node -pe 'Number(JSON.parse(require("fs").readFileSync(0, "utf8")).timestamp)'; }
time_in() { rpc eth_call "[{\"data\":\"$environment\"},\"$1\"]" | node -pe 'Number("0x" + JSON.parse(require("fs").readFileSync(0, "utf8")).slice(66, 130))'; }

expect() {
  echo "$1: $2 (expected: $3)"
  [[ $2 == "$3" ]] || { echo "it is otherwise now" >&2; exit 1; }
}

now=$(date +%s)
header=$(time_of latest)
expect "the genesis block's time is the present, within a minute" "$((header > now - 60 && header < now + 60))" 1
expect "a call at latest, before the first block, runs at" "$(time_in latest)" 1
expect "a call at pending runs at the present, within a minute" "$(($(time_in pending) > now - 60))" 1
rpc evm_mine '[]' > /dev/null
expect "a call at latest, after the first block, runs at" "$(time_in latest)" "$(time_of latest)"
