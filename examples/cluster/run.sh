#!/usr/bin/env bash
# Two ArqonBus nodes that share one Redis, on this machine. Starts all three, shows a message crossing from one node to
# the other, kills a node to show that nothing is lost, and cleans up when it ends.
#
#   examples/cluster/run.sh            shows it and exits
#   examples/cluster/run.sh --stay     keeps the cluster until Ctrl-C
#
# Uses free ports; REDIS_PORT, PORT_A and PORT_B set others.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v redis-server >/dev/null || { echo "This example needs redis-server: apt-get install redis-server" >&2; exit 1; }

free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
redis_port=${REDIS_PORT:-$(free_port)}
port_a=${PORT_A:-$(free_port)}
port_b=${PORT_B:-$(free_port)}
folder=$(mktemp -d)
pids=()

clean_up() {
  trap - EXIT
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

arqon() { node packages/server/bin/arqon.js "$@"; }

# start_node NAME PORT: a node of the cluster; its pid is in $started once it takes clients.
start_node() {
  ARQONBUS_NODE_ID=$1 ARQONBUS_SERVER_PORT=$2 ARQONBUS_HTTP_PORT=off ARQONBUS_TELEMETRY_PORT=off \
    ARQONBUS_STORAGE_BACKEND=redis ARQONBUS_REDIS_URL="redis://127.0.0.1:$redis_port" ARQONBUS_LOG_LEVEL=warn \
    node packages/server/bin/arqon.js serve >"$folder/$1.log" 2>&1 &
  started=$!
  pids+=("$started")
  for _ in $(seq 100); do
    grep -q ready "$folder/$1.log" && return 0
    kill -0 "$started" 2>/dev/null || break
    sleep 0.1
  done
  echo "The node $1 did not start:" >&2
  cat "$folder/$1.log" >&2
  exit 1
}

redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$folder" --save '' --appendonly yes --appendfsync always \
  >"$folder/redis.log" 2>&1 &
pids+=($!)
echo "Redis    127.0.0.1:$redis_port"
start_node node-a "$port_a"
node_a=$started
echo "node-a   ws://127.0.0.1:$port_a"
start_node node-b "$port_b"
echo "node-b   ws://127.0.0.1:$port_b"
echo

echo "A subscriber at node-b, a publisher at node-a:"
arqon tail lab:results --type event --limit 1 --timeout-seconds 20 --ws-url "ws://127.0.0.1:$port_b" >"$folder/tail" &
tail_pid=$!
# The subscriber is there once node-a counts it, since both nodes know the members of all.
until arqon channels lab --ws-url "ws://127.0.0.1:$port_a" 2>/dev/null | grep -q results; do sleep 0.1; done
arqon pub lab:results '{"sample":1,"crossed":true}' --ws-url "ws://127.0.0.1:$port_a"
wait "$tail_pid"
cat "$folder/tail"
echo

echo "node-a is killed. node-b has what it acked, and goes on in the same sequence:"
kill -9 "$node_a"
wait "$node_a" 2>/dev/null || true
arqon pub lab:results '{"sample":2}' --ws-url "ws://127.0.0.1:$port_b"
arqon history lab:results --ws-url "ws://127.0.0.1:$port_b"

if [ "${1:-}" = --stay ]; then
  start_node node-a "$port_a"
  echo
  echo "Both nodes run again. Ctrl-C ends the cluster."
  wait
fi
